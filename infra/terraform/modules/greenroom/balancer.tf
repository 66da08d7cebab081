# The load balancer, a target group for each colour, and the listeners whose weights are the route.

locals {
  https = var.certificate_arn != ""

  # What users come in by; those of them that forward are what Greenroom switches, all together.
  public = merge(
    { http = { port = var.ports.http, protocol = "HTTP", forwards = !(local.https && var.redirect_http) } },
    local.https ? { https = { port = var.ports.https, protocol = "HTTPS", forwards = true } } : {},
  )
  forwarding = { for name, listener in local.public : name => listener if listener.forwards }

  balancer = var.load_balancer_arn == "" ? {
    arn             = aws_lb.made[0].arn
    arn_suffix      = aws_lb.made[0].arn_suffix
    dns_name        = aws_lb.made[0].dns_name
    security_groups = [aws_security_group.balancer[0].id]
    } : {
    arn             = data.aws_lb.given[0].arn
    arn_suffix      = data.aws_lb.given[0].arn_suffix
    dns_name        = data.aws_lb.given[0].dns_name
    security_groups = tolist(data.aws_lb.given[0].security_groups)
  }
  balancer_groups = var.load_balancer_arn == "" ? 1 : length(data.aws_lb.given[0].security_groups)
}

data "aws_lb" "given" {
  count = var.load_balancer_arn == "" ? 0 : 1
  arn   = var.load_balancer_arn
}

resource "aws_lb" "made" {
  count = var.load_balancer_arn == "" ? 1 : 0

  name               = var.name
  load_balancer_type = "application"
  internal           = var.internal
  subnets            = length(var.balancer_subnets) > 0 ? var.balancer_subnets : var.subnets
  security_groups    = [aws_security_group.balancer[0].id]

  drop_invalid_header_fields = true
  tags                       = var.tags
}

resource "aws_lb_target_group" "colour" {
  for_each = local.colours

  name        = "${var.name}-${each.key}"
  vpc_id      = var.vpc_id
  port        = local.port
  protocol    = "HTTP"
  target_type = local.ecs ? "ip" : "instance"

  deregistration_delay = var.health.drain

  health_check {
    path                = var.health.path
    matcher             = var.health.status
    interval            = var.health.interval
    timeout             = var.health.timeout
    healthy_threshold   = var.health.healthy
    unhealthy_threshold = var.health.sick
  }

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_lb_listener" "public" {
  for_each = local.forwarding

  load_balancer_arn = local.balancer.arn
  port              = each.value.port
  protocol          = each.value.protocol
  certificate_arn   = each.value.protocol == "HTTPS" ? var.certificate_arn : null
  ssl_policy        = each.value.protocol == "HTTPS" ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null

  default_action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = local.colours

        content {
          arn    = aws_lb_target_group.colour[target_group.key].arn
          weight = target_group.key == local.first ? 100 : 0
        }
      }
    }
  }

  tags = var.tags

  # The route is Greenroom's, and so are the tags that it keeps here. Without this line the next `apply` sends the
  # traffic back to blue, in the middle of whatever goes on (FT-21).
  lifecycle {
    ignore_changes = [default_action, tags, tags_all]
  }
}

resource "aws_lb_listener" "redirect" {
  for_each = { for name, listener in local.public : name => listener if !listener.forwards }

  load_balancer_arn = local.balancer.arn
  port              = each.value.port
  protocol          = each.value.protocol

  default_action {
    type = "redirect"

    redirect {
      port        = tostring(var.ports.https)
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }

  tags = var.tags
}

# Reaches the idle colour, so that it is tested before any user meets it.
resource "aws_lb_listener" "test" {
  count = length(var.test_from) > 0 ? 1 : 0

  load_balancer_arn = local.balancer.arn
  port              = var.ports.test
  protocol          = local.https ? "HTTPS" : "HTTP"
  certificate_arn   = local.https ? var.certificate_arn : null
  ssl_policy        = local.https ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null

  default_action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = local.colours

        content {
          arn    = aws_lb_target_group.colour[target_group.key].arn
          weight = target_group.key == local.first ? 0 : 100
        }
      }
    }
  }

  tags = var.tags

  lifecycle {
    ignore_changes = [default_action, tags, tags_all] # FT-21: as above
  }
}
