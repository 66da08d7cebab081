# Who may talk to whom: users to the balancer, the balancer to both colours alike, both colours to what they share.

resource "aws_security_group" "balancer" {
  count = var.load_balancer_arn == "" ? 1 : 0

  name        = "${var.name}-balancer"
  description = "Users of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "users" {
  for_each = {
    for pair in setproduct(var.load_balancer_arn == "" ? keys(local.public) : [], var.open_to) :
    "${pair[0]} ${pair[1]}" => { port = local.public[pair[0]].port, range = pair[1] }
  }

  security_group_id = aws_security_group.balancer[0].id
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.range
}

resource "aws_vpc_security_group_ingress_rule" "testers" {
  for_each = var.load_balancer_arn == "" ? toset(var.test_from) : toset([])

  security_group_id = aws_security_group.balancer[0].id
  ip_protocol       = "tcp"
  from_port         = var.ports.test
  to_port           = var.ports.test
  cidr_ipv4         = each.value
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  count = var.load_balancer_arn == "" ? 1 : 0

  security_group_id            = aws_security_group.balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  referenced_security_group_id = aws_security_group.colours.id
}

# One group for both: what one colour may reach, the other may reach.
resource "aws_security_group" "colours" {
  name        = "${var.name}-colours"
  description = "Both environments of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "colours" {
  # By number: the ids of groups that are made here are not known before.
  for_each = toset([for number in range(local.balancer_groups) : tostring(number)])

  security_group_id            = aws_security_group.colours.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  referenced_security_group_id = local.balancer.security_groups[tonumber(each.key)]
}

resource "aws_vpc_security_group_egress_rule" "colours" {
  security_group_id = aws_security_group.colours.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "shared" {
  count = var.cache != null || var.database != null ? 1 : 0

  name        = "${var.name}-shared"
  description = "What both environments of ${var.name} share"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "shared" {
  for_each = merge(var.cache != null ? { cache = 6379 } : {}, var.database != null ? { database = 5432 } : {})

  security_group_id            = aws_security_group.shared[0].id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.colours.id
}
