# Greenroom's record and lock, and the live colour for other tools to read.

locals {
  table_arn = "arn:${data.aws_partition.aws.partition}:dynamodb:${data.aws_region.here.name}:${data.aws_caller_identity.us.account_id}:table/${var.journal.table}"
}

resource "aws_dynamodb_table" "journal" {
  count = var.journal.create ? 1 : 0

  name         = var.journal.table
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "service"
  range_key    = "item"

  attribute {
    name = "service"
    type = "S"
  }

  attribute {
    name = "item"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  deletion_protection_enabled = true
  tags                        = var.tags
}

# A copy of what the listener says, never the truth.
resource "aws_ssm_parameter" "live" {
  name        = "/greenroom/${var.name}/live"
  description = "The live colour of ${var.name}, as published by Greenroom"
  type        = "String"
  value       = "none"
  tags        = var.tags

  lifecycle {
    ignore_changes = [value, description, tags, tags_all] # written at releases (FT-21)
  }
}
