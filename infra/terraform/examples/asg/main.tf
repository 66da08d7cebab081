# A service on EC2 instances: two Auto Scaling groups of one launch template.

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

variable "ami" {
  description = "Of the first template; each release brings its own."
  type        = string
}

provider "aws" {
  region              = "eu-central-1"
  allowed_account_ids = ["123456789012"] # nothing is done in another account

  # What Greenroom writes on its own account is none of Terraform's business.
  ignore_tags {
    key_prefixes = ["greenroom:"]
  }
}

module "shop" {
  source = "../../modules/greenroom"

  name     = "shop"
  platform = "asg"
  vpc_id   = var.vpc_id
  subnets  = var.subnets

  public_ip = true
  test_from = ["203.0.113.0/24"]
  health    = { path = "/health" }

  instances = {
    ami       = var.ami
    type      = "t3.small"
    port      = 8080
    user_data = <<-SCRIPT
      #!/bin/sh
      systemctl start shop
    SCRIPT
  }

  scaling = { min = 2, max = 6, cpu = 60 }
  ci      = { repository = "example/shop" }
}

output "shop" {
  description = "What goes into greenroom.yaml."
  value       = module.shop
}
