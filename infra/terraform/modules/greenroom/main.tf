# Two environments, blue and green, from ONE definition, behind one load balancer.
#
# Terraform makes them; Greenroom releases. What a release moves is written at releases only: the listeners' default
# actions, the services' task definitions and counts, the groups' sizes and template versions, and tags that begin with
# `greenroom:`. Each stands in `ignore_changes` where it is made, so that no `apply` ever moves traffic or scales (FT-21).

locals {
  colours = toset(["blue", "green"])
  first   = "blue" # where the traffic goes until the first release

  ecs = var.platform == "ecs"
  asg = var.platform == "asg"

  port = local.ecs ? try(var.container.port, 8080) : try(var.instances.port, 8080)
}

data "aws_region" "here" {}
data "aws_caller_identity" "us" {}
data "aws_partition" "aws" {}

# Said here and not by the variables: which of them is needed depends on the platform.
resource "terraform_data" "agreed" {
  lifecycle {
    precondition {
      condition     = !local.ecs || var.container != null
      error_message = "platform \"ecs\" needs container: at least its image, with which the first task definition is made."
    }
    precondition {
      condition     = !local.asg || var.instances != null
      error_message = "platform \"asg\" needs instances: at least the ami of the first launch template."
    }
  }
}
