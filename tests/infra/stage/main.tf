# Both platforms, on what the tests have put into moto: the network, a load balancer and a cluster.

variable "vpc_id" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "balancers" {
  type = map(string)
}

variable "cluster" {
  type = string
}

variable "drain" {
  type    = number
  default = 30
}

provider "aws" {
  region = "eu-central-1"
}

module "shop" {
  source = "../modules/greenroom"

  name              = "shop"
  vpc_id            = var.vpc_id
  subnets           = var.subnets
  load_balancer_arn = var.balancers["shop"]
  cluster_arn       = var.cluster
  test_from         = ["203.0.113.0/24"]
  container         = { image = "210987654321.dkr.ecr.eu-central-1.amazonaws.com/shop:1" }
  ci                = { repository = "example/shop" }
  health            = { drain = var.drain }
}

module "api" {
  source = "../modules/greenroom"

  name              = "api"
  platform          = "asg"
  vpc_id            = var.vpc_id
  subnets           = var.subnets
  load_balancer_arn = var.balancers["api"]
  test_from         = ["203.0.113.0/24"]
  instances         = { ami = "ami-0a1b2c3d" }
  journal           = { create = false }
  health            = { drain = var.drain }
}

output "shop" {
  value = module.shop
}

output "api" {
  value = module.api
}
