# platform = "ecs": a service for each colour.

locals {
  cluster_arn  = local.ecs ? (var.cluster_arn != "" ? var.cluster_arn : aws_ecs_cluster.made[0].arn) : ""
  cluster_name = local.ecs ? element(split("/", local.cluster_arn), 1) : ""
}

resource "aws_ecs_cluster" "made" {
  count = local.ecs && var.cluster_arn == "" ? 1 : 0

  name = var.name
  tags = var.tags
}

resource "aws_cloudwatch_log_group" "tasks" {
  count = local.ecs ? 1 : 0

  name              = "/greenroom/${var.name}"
  retention_in_days = var.log_days
  tags              = var.tags
}

# The one for both colours that releases start from: they take it with the image of the version in its place.
resource "aws_ecs_task_definition" "first" {
  count = local.ecs ? 1 : 0

  family                   = var.name
  requires_compatibilities = [var.launch_type]
  network_mode             = "awsvpc"
  cpu                      = try(var.container.cpu, 256)
  memory                   = try(var.container.memory, 512)
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = aws_iam_role.application.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = try(var.container.arm, false) ? "ARM64" : "X86_64"
  }

  container_definitions = jsonencode([merge({
    name         = try(var.container.name, "web")
    image        = try(var.container.image, "")
    essential    = true
    portMappings = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
    environment  = [for name, value in try(var.container.environment, {}) : { name = name, value = value }]
    secrets      = [for name, arn in try(var.container.secrets, {}) : { name = name, valueFrom = arn }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.tasks[0].name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = "greenroom"
      }
    }
  }, length(try(var.container.command, [])) > 0 ? { command = var.container.command } : {})])

  tags = var.tags
}

resource "aws_ecs_service" "colour" {
  for_each = local.ecs ? local.colours : toset([])

  name            = "${var.name}-${each.key}"
  cluster         = local.cluster_arn
  task_definition = aws_ecs_task_definition.first[0].arn
  desired_count   = 0 # the first release starts them
  launch_type     = var.launch_type

  health_check_grace_period_seconds = var.health.grace
  enable_ecs_managed_tags           = true
  propagate_tags                    = "SERVICE"

  # A task that cannot start ends the deployment; it does not put the old version back behind our back (FT-33).
  deployment_circuit_breaker {
    enable   = true
    rollback = false
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [aws_security_group.colours.id]
    assign_public_ip = var.public_ip
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.colour[each.key].arn
    container_name   = try(var.container.name, "web")
    container_port   = local.port
  }

  tags = var.tags

  # ECS takes no target group that no listener names, and starts no task without its rights.
  depends_on = [aws_lb_listener.public, aws_lb_listener.test, aws_iam_role_policy.execution, terraform_data.agreed]

  # Which version runs and how often is said at releases, and by autoscaling: an `apply` must not say it (FT-21, FT-47).
  lifecycle {
    ignore_changes = [task_definition, desired_count, tags, tags_all]
  }
}

resource "aws_appautoscaling_target" "colour" {
  for_each = local.ecs && var.scaling.cpu > 0 ? local.colours : toset([])

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster_name}/${aws_ecs_service.colour[each.key].name}"
  min_capacity       = var.scaling.min
  max_capacity       = var.scaling.max

  # While both colours run, a release suspends that tasks are taken away (FT-47).
  lifecycle {
    ignore_changes = [suspended_state]
  }
}

resource "aws_appautoscaling_policy" "cpu" {
  for_each = aws_appautoscaling_target.colour

  name               = "${var.name}-${each.key}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = each.value.service_namespace
  scalable_dimension = each.value.scalable_dimension
  resource_id        = each.value.resource_id

  target_tracking_scaling_policy_configuration {
    target_value = var.scaling.cpu

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
