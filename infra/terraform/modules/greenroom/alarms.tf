# What rings about one colour; Greenroom's gates and watches can read it by name: <name>-<colour>-5xx, -latency, -sick.

locals {
  ringing = var.alarms == null ? toset([]) : local.colours
  about = {
    for colour in local.colours : colour => {
      LoadBalancer = local.balancer.arn_suffix
      TargetGroup  = aws_lb_target_group.colour[colour].arn_suffix
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.ringing

  alarm_name          = "${var.name}-${each.key}-5xx"
  alarm_description   = "${var.name} (${each.key}) answers with errors"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_Target_5XX_Count"
  dimensions          = local.about[each.key]
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 2
  threshold           = var.alarms.errors
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching" # there is a series only where there are errors
  alarm_actions       = var.alarms.actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  for_each = local.ringing

  alarm_name          = "${var.name}-${each.key}-latency"
  alarm_description   = "${var.name} (${each.key}) is slow"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = local.about[each.key]
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 3
  threshold           = var.alarms.p99
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching" # the idle colour has no users

  alarm_actions = var.alarms.actions
  tags          = var.tags
}

resource "aws_cloudwatch_metric_alarm" "sick" {
  for_each = local.ringing

  alarm_name          = "${var.name}-${each.key}-sick"
  alarm_description   = "${var.name} (${each.key}) has targets that are not healthy"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = local.about[each.key]
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarms.actions
  tags                = var.tags
}
