# `terraform test`: the module without an account. What AWS would answer is invented here.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\": \"2012-10-17\", \"Statement\": []}" }
  }
  mock_data "aws_lb" {
    defaults = {
      arn             = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/theirs/1"
      arn_suffix      = "app/theirs/1"
      dns_name        = "theirs.example"
      security_groups = ["sg-1", "sg-2"]
    }
  }
  mock_resource "aws_lb" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/shop/1"
      arn_suffix = "app/shop/1"
      dns_name   = "shop.example"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/1" }
  }
  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/shop/1/1" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/shop" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/shop" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/shop" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/shop" }
  }
  mock_resource "aws_ecs_service" {
    defaults = { id = "arn:aws:ecs:eu-central-1:123456789012:service/shop/shop" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/shop:1" }
  }
  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:autoScalingGroupName/shop" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  name      = "shop"
  vpc_id    = "vpc-0a1b2c3d"
  subnets   = ["subnet-a", "subnet-b"]
  test_from = ["203.0.113.0/24"]
  container = { image = "registry.example/shop:1" }
}

run "two_services_from_one_definition" {
  assert {
    condition     = toset(keys(aws_ecs_service.colour)) == toset(["blue", "green"])
    error_message = "a service for each colour"
  }
  assert {
    condition     = length(distinct([for s in aws_ecs_service.colour : [s.task_definition, s.network_configuration, s.launch_type]])) == 1
    error_message = "both colours are made from one definition"
  }
  assert {
    condition     = alltrue([for s in aws_ecs_service.colour : s.desired_count == 0 && !one(s.deployment_circuit_breaker).rollback])
    error_message = "nothing runs before the first release, and ECS does not go back by itself"
  }
  assert {
    condition     = length(aws_autoscaling_group.colour) + length(aws_launch_template.both) == 0
    error_message = "no groups on ECS"
  }
  assert {
    condition     = keys(aws_lb_listener.public) == ["http"] && length(aws_lb_listener.redirect) == 0
    error_message = "without a certificate, HTTP serves"
  }
  assert {
    condition     = sort([for t in one(one(aws_lb_listener.public["http"].default_action).forward).target_group : t.weight]) == tolist(["0", "100"])
    error_message = "all users on one colour"
  }
  assert {
    condition     = aws_dynamodb_table.journal[0].hash_key == "service" && aws_dynamodb_table.journal[0].range_key == "item"
    error_message = "the keys of the journal"
  }
  assert {
    condition     = output.cache == "" && output.ci_role == "" && length(aws_cloudwatch_metric_alarm.errors) == 2
    error_message = "what is optional"
  }
}

run "https_serves_and_http_redirects" {
  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
    ci              = { repository = "example/shop" }
    cache           = {}
    database        = {}
  }
  assert {
    condition     = keys(aws_lb_listener.public) == ["https"] && keys(aws_lb_listener.redirect) == ["http"]
    error_message = "HTTP redirects"
  }
  assert {
    condition     = aws_lb_listener.test[0].protocol == "HTTPS" && length(output.listeners) == 1
    error_message = "the test listener is as the public one"
  }
  assert {
    condition     = output.ci_role != "" && length(aws_elasticache_replication_group.sessions) == 1 && aws_db_instance.data[0].manage_master_user_password
    error_message = "what is optional is made on request"
  }
}

run "both_listeners_serve" {
  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
    redirect_http   = false
    test_from       = []
  }
  assert {
    condition     = length(output.listeners) == 2 && output.test_listener == "" && length(aws_lb_listener.redirect) == 0
    error_message = "both are switched"
  }
}

run "on_a_load_balancer_and_a_cluster_that_are_there" {
  variables {
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/theirs/1"
    cluster_arn       = "arn:aws:ecs:eu-central-1:123456789012:cluster/theirs"
    launch_type       = "EC2"
  }
  assert {
    condition     = length(aws_lb.made) + length(aws_ecs_cluster.made) + length(aws_security_group.balancer) == 0 && output.cluster == "theirs"
    error_message = "what is there is used"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.colours) == 2
    error_message = "each of the balancer's security groups reaches the colours"
  }
}

run "two_groups_of_one_template" {
  variables {
    platform  = "asg"
    container = null
    instances = { ami = "ami-0a1b2c3d" }
  }
  assert {
    condition     = toset(keys(output.groups)) == toset(["blue", "green"]) && length(aws_ecs_service.colour) == 0
    error_message = "a group for each colour"
  }
  assert {
    condition     = alltrue([for g in aws_autoscaling_group.colour : g.min_size == 0 && g.desired_capacity == 0 && g.health_check_type == "ELB"])
    error_message = "nothing runs before the first release"
  }
  assert {
    condition     = alltrue([for t in aws_lb_target_group.colour : t.target_type == "instance"])
    error_message = "instances are the targets"
  }
}

# --- What is refused, before anything is made -------------------------------------------------------------------------

run "a_name_that_is_too_long" {
  command = plan
  variables { name = "a-shop-with-a-long-name" }
  expect_failures = [var.name]
}

run "one_subnet_twice" {
  command = plan
  variables { subnets = ["subnet-a", "subnet-a"] }
  expect_failures = [var.subnets]
}

run "no_ids" {
  command = plan
  variables {
    vpc_id            = "main"
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/theirs/1"
    certificate_arn   = "shop.pem"
    cluster_arn       = "theirs"
  }
  expect_failures = [var.vpc_id, var.load_balancer_arn, var.certificate_arn, var.cluster_arn]
}

run "a_cluster_without_instances" {
  command = plan
  variables { launch_type = "EC2" }
  expect_failures = [var.launch_type]
}

run "ports_and_ranges" {
  command = plan
  variables {
    ports     = { http = 80, https = 80 }
    open_to   = ["everywhere"]
    test_from = ["203.0.113.300/24"]
    health    = { path = "health", interval = 5, timeout = 5, healthy = 1, drain = 7200 }
  }
  expect_failures = [var.ports, var.open_to, var.test_from, var.health]
}

run "numbers" {
  command = plan
  variables {
    scaling  = { min = 4, max = 2, cpu = 100 }
    log_days = 8
    alarms   = { errors = 0 }
    cache    = { replicas = 9 }
    database = { storage = 1 }
  }
  expect_failures = [var.scaling, var.log_days, var.alarms, var.cache, var.database]
}

run "a_secret_by_value" {
  command = plan
  variables {
    container = { image = "registry.example/shop:1", port = 0, cpu = 300, secrets = { PASSWORD = "hunter2" } }
  }
  expect_failures = [var.container]
}

run "everybody_may_release" {
  command = plan
  variables { ci = { repository = "example/*", refs = ["*"] } }
  expect_failures = [var.ci]
}

run "tags_of_greenroom" {
  command = plan
  variables {
    tags    = { "greenroom:epoch" = "0" }
    journal = { table = "a table" }
  }
  expect_failures = [var.tags, var.journal]
}

run "a_platform_without_what_it_runs" {
  command = plan
  variables { container = null }
  expect_failures = [terraform_data.agreed]
}

run "an_unknown_platform" {
  command = plan
  variables { platform = "lambda" }
  expect_failures = [var.platform]
}

run "groups_without_an_image" {
  command = plan
  variables {
    platform  = "asg"
    instances = { ami = "latest" }
  }
  expect_failures = [var.instances]
}
