# Who releases: a role that the CI's runs of one repository may assume (OIDC), with the rights that Greenroom uses.

locals {
  aws    = "arn:${data.aws_partition.aws.partition}"
  region = data.aws_region.here.name
  us     = data.aws_caller_identity.us.account_id

  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG; of images in other registries ECR is not asked.
  ecr    = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com/([^:@]+)", var.container.image), [])
  images = length(local.ecr) == 3 ? ["${local.aws}:ecr:${local.ecr[1]}:${local.ecr[0]}:repository/${local.ecr[2]}"] : []

  # `rights.json` is made from the calls in Greenroom's source; this says what its words are here.
  places = {
    "*"                = ["*"]
    "table"            = [local.table_arn]
    "listeners"        = concat([for listener in aws_lb_listener.public : listener.arn], aws_lb_listener.test[*].arn)
    "rules"            = []
    "services"         = [for service in aws_ecs_service.colour : service.id]
    "tasks"            = local.ecs ? ["${local.aws}:ecs:${local.region}:${local.us}:task/${local.cluster_name}/*"] : []
    "machines"         = local.ecs ? ["${local.aws}:ecs:${local.region}:${local.us}:container-instance/${local.cluster_name}/*"] : []
    "task definitions" = local.ecs ? ["${local.aws}:ecs:${local.region}:${local.us}:task-definition/${var.name}:*"] : []
    "scaling"          = ["${local.aws}:application-autoscaling:${local.region}:${local.us}:scalable-target/*"]
    "images"           = local.images
    "output"           = [for group in aws_cloudwatch_log_group.tasks : "${group.arn}:*"]
    "groups"           = [for group in aws_autoscaling_group.colour : group.arn]
    "templates"        = [for template in aws_launch_template.both : template.arn]
    "parameter"        = [aws_ssm_parameter.live.arn]
    "roles"            = concat([aws_iam_role.application.arn], aws_iam_role.execution[*].arn)
  }

  parts  = ["journal", "cloudwatch", "alb", "live", var.platform]
  rights = [for right in jsondecode(file("${path.module}/rights.json")) : right if contains(local.parts, right.for)]
}

data "aws_iam_policy_document" "greenroom" {
  dynamic "statement" {
    for_each = [for right in local.rights : right if length(local.places[right.on]) > 0]

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = local.places[statement.value.on]

      dynamic "condition" {
        for_each = statement.value.passed_to == "" ? [] : [statement.value.passed_to]

        content {
          test     = "StringEquals"
          variable = "iam:PassedToService"
          values   = [condition.value]
        }
      }
    }
  }
}

resource "aws_iam_policy" "greenroom" {
  name        = "${var.name}-greenroom"
  description = "What Greenroom does at releases of ${var.name}, and nothing else"
  policy      = data.aws_iam_policy_document.greenroom.json
  tags        = var.tags
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.ci != null && try(var.ci.provider_arn, "") == "" ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

data "aws_iam_policy_document" "ci" {
  count = var.ci != null ? 1 : 0

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [try(aws_iam_openid_connect_provider.github[0].arn, var.ci.provider_arn)]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = [for ref in var.ci.refs : "repo:${var.ci.repository}:${ref}"]
    }
  }
}

resource "aws_iam_role" "ci" {
  count = var.ci != null ? 1 : 0

  name                 = "${var.name}-ci"
  description          = "Releases of ${var.name} from ${var.ci.repository}"
  assume_role_policy   = data.aws_iam_policy_document.ci[0].json
  max_session_duration = 14400 # a release with its bake must end before the session does
  tags                 = var.tags
}

resource "aws_iam_role_policy_attachment" "ci" {
  count = var.ci != null ? 1 : 0

  role       = aws_iam_role.ci[0].name
  policy_arn = aws_iam_policy.greenroom.arn
}

# To build and push the image in the same run.
data "aws_iam_policy_document" "push" {
  count = var.ci != null && local.ecs ? 1 : 0

  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(local.images) > 0 ? [local.images] : []

    content {
      sid       = "Push"
      resources = statement.value
      actions = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
    }
  }
}

resource "aws_iam_role_policy" "push" {
  count = var.ci != null && local.ecs ? 1 : 0

  name   = "push"
  role   = aws_iam_role.ci[0].id
  policy = data.aws_iam_policy_document.push[0].json
}
