# What moto does not keep is not asked of it: each of these would come back empty, and be planned again for ever.

resource "aws_ecs_service" "colour" {
  enable_ecs_managed_tags           = null
  health_check_grace_period_seconds = null
}

resource "aws_autoscaling_group" "colour" {
  default_instance_warmup = null
}

resource "aws_autoscaling_policy" "cpu" {
  for_each = toset([])
}
