# platform = "asg": an Auto Scaling group for each colour, of one launch template.

resource "aws_launch_template" "both" {
  count = local.asg ? 1 : 0

  name                   = var.name
  image_id               = try(var.instances.ami, null)
  instance_type          = try(var.instances.type, null)
  user_data              = try(var.instances.user_data, "") == "" ? null : base64encode(var.instances.user_data)
  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.application[0].arn
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  network_interfaces {
    associate_public_ip_address = var.public_ip
    security_groups             = [aws_security_group.colours.id]
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = var.name })
  }

  tags = var.tags

  # Each release makes a version of this template, with its own image and start script. What else is changed here makes
  # one too, which nothing runs before the next release takes it up.
  lifecycle {
    ignore_changes = [image_id, user_data, description, default_version, tags, tags_all]
  }
}

resource "aws_autoscaling_group" "colour" {
  for_each = local.asg ? local.colours : toset([])

  name                = "${var.name}-${each.key}"
  vpc_zone_identifier = var.subnets
  target_group_arns   = [aws_lb_target_group.colour[each.key].arn]

  min_size         = 0 # the first release starts them
  desired_capacity = 0
  max_size         = var.scaling.max

  health_check_type         = "ELB"
  health_check_grace_period = var.health.grace
  default_instance_warmup   = try(var.instances.warm_up, 60)
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.both[0].id
    version = aws_launch_template.both[0].latest_version
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-${each.key}" })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  depends_on = [terraform_data.agreed]

  # Sizes and version are said at releases, and by autoscaling: an `apply` must not say them (FT-21, FT-28, FT-47).
  lifecycle {
    ignore_changes = [min_size, max_size, desired_capacity, launch_template, suspended_processes, tag]
  }
}

resource "aws_autoscaling_policy" "cpu" {
  for_each = local.asg && var.scaling.cpu > 0 ? local.colours : toset([])

  name                   = "${var.name}-${each.key}-cpu"
  autoscaling_group_name = aws_autoscaling_group.colour[each.key].name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.scaling.cpu

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
