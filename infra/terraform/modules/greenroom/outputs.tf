output "url" {
  description = "Where users come in."
  value       = "${local.https ? "https" : "http"}://${local.balancer.dns_name}"
}

output "listeners" {
  description = "`router.listeners`: all that are switched, together."
  value       = [for name in sort(keys(local.forwarding)) : aws_lb_listener.public[name].arn]
}

output "test_listener" {
  description = "`router.test_route.listener`; \"\" without `test_from`."
  value       = try(aws_lb_listener.test[0].arn, "")
}

output "target_groups" {
  description = "`router.target_groups`."
  value       = { for colour in local.colours : colour => aws_lb_target_group.colour[colour].arn }
}

output "cluster" {
  description = "`environment.cluster`."
  value       = local.cluster_name
}

output "services" {
  description = "`environment.services`."
  value       = { for colour, service in aws_ecs_service.colour : colour => service.name }
}

output "task_definition" {
  description = "`environment.task_definition`: what the releases' own are made from."
  value       = local.ecs ? aws_ecs_task_definition.first[0].family : ""
}

output "groups" {
  description = "`environment.groups`, of Auto Scaling groups."
  value       = { for colour, group in aws_autoscaling_group.colour : colour => group.name }
}

output "launch_template" {
  description = "What the releases' versions are made from."
  value       = try(aws_launch_template.both[0].name, "")
}

output "journal" {
  description = "`journal.table`."
  value       = var.journal.table
}

output "live_parameter" {
  description = "Where the live colour is published."
  value       = aws_ssm_parameter.live.name
}

output "ci_role" {
  description = "What the workflow assumes; \"\" without `ci`."
  value       = try(aws_iam_role.ci[0].arn, "")
}

output "task_role" {
  description = "The application's own role: attach what it may do."
  value       = aws_iam_role.application.name
}

output "cache" {
  description = "Host of the shared Redis; \"\" without `cache`."
  value       = try(aws_elasticache_replication_group.sessions[0].primary_endpoint_address, "")
}

output "database" {
  description = "Address of the shared database and the ARN of the secret with its password."
  value = {
    address = try(aws_db_instance.data[0].endpoint, "")
    secret  = try(aws_db_instance.data[0].master_user_secret[0].secret_arn, "")
  }
}

output "log_group" {
  description = "Where the tasks' output is."
  value       = local.ecs ? aws_cloudwatch_log_group.tasks[0].name : ""
}
