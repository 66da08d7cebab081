# What runs may do, the same for both colours.

data "aws_iam_policy_document" "trusts" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [local.ecs ? "ecs-tasks.amazonaws.com" : "ec2.amazonaws.com"]
    }
  }
}

# As the application: no rights until you attach some, to the role that the output `task_role` names.
resource "aws_iam_role" "application" {
  name               = "${var.name}-application"
  assume_role_policy = data.aws_iam_policy_document.trusts.json
  tags               = var.tags
}

# As ECS, before the application starts: pull the image, read its secrets, write its log.
resource "aws_iam_role" "execution" {
  count = local.ecs ? 1 : 0

  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.trusts.json
  tags               = var.tags
}

locals {
  secrets = distinct(values(try(var.container.secrets, {})))
  kept    = [for arn in local.secrets : arn if can(regex(":secretsmanager:", arn))]
  said    = [for arn in local.secrets : arn if can(regex(":ssm:", arn))]
}

data "aws_iam_policy_document" "execution" {
  count = local.ecs ? 1 : 0

  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${data.aws_partition.aws.partition}:ecr:*:${data.aws_caller_identity.us.account_id}:repository/*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.tasks[0].arn}:*"]
  }

  dynamic "statement" {
    for_each = length(local.kept) > 0 ? [1] : []

    content {
      actions = ["secretsmanager:GetSecretValue"]
      # A key and a version may follow a secret's own ARN.
      resources = [for arn in local.kept : join(":", slice(split(":", arn), 0, 7))]
    }
  }
  dynamic "statement" {
    for_each = length(local.said) > 0 ? [1] : []

    content {
      actions   = ["ssm:GetParameters"]
      resources = local.said
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  count = local.ecs ? 1 : 0

  name   = "execution"
  role   = aws_iam_role.execution[0].id
  policy = data.aws_iam_policy_document.execution[0].json
}

resource "aws_iam_instance_profile" "application" {
  count = local.asg ? 1 : 0

  name = "${var.name}-application"
  role = aws_iam_role.application.name
  tags = var.tags
}
