# A service on Fargate: `terraform init`, `terraform apply`, then `greenroom deploy VERSION`.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

variable "vpc_id" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "repository" {
  description = "On GitHub, owner/name: its tags v* may release."
  type        = string
  default     = "example/shop"
}

provider "aws" {
  region              = "eu-central-1"
  allowed_account_ids = ["123456789012"] # nothing is done in another account

  # What Greenroom writes on its own account is none of Terraform's business.
  ignore_tags {
    key_prefixes = ["greenroom:"]
  }
}

resource "aws_ecr_repository" "shop" {
  name                 = "shop"
  image_tag_mutability = "IMMUTABLE" # a version is one image, for ever
}

module "shop" {
  source = "../../modules/greenroom"

  name     = "shop"
  platform = "ecs"
  vpc_id   = var.vpc_id
  subnets  = var.subnets

  public_ip = true
  test_from = ["203.0.113.0/24"]
  health    = { path = "/health" }

  container = {
    image       = "${aws_ecr_repository.shop.repository_url}:none" # what runs comes with the first release
    port        = 8080
    environment = { LOG_LEVEL = "info" }
    secrets     = { DATABASE_URL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-database-AbCdEf" }
  }

  scaling = { min = 2, max = 6, cpu = 60 }
  ci      = { repository = var.repository }
}

output "shop" {
  description = "What goes into greenroom.yaml."
  value       = module.shop
}
