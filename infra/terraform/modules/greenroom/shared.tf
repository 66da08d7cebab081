# What both colours share, on request: sessions and data are not blue or green.

resource "aws_elasticache_subnet_group" "sessions" {
  count = var.cache != null ? 1 : 0

  name       = var.name
  subnet_ids = var.subnets
  tags       = var.tags
}

resource "aws_elasticache_replication_group" "sessions" {
  count = var.cache != null ? 1 : 0

  replication_group_id       = "${var.name}-sessions"
  description                = "Sessions of ${var.name}, of both colours"
  engine                     = "redis"
  node_type                  = var.cache.node_type
  num_cache_clusters         = 1 + var.cache.replicas
  automatic_failover_enabled = var.cache.replicas > 0
  multi_az_enabled           = var.cache.replicas > 0
  port                       = 6379
  subnet_group_name          = aws_elasticache_subnet_group.sessions[0].name
  security_group_ids         = [aws_security_group.shared[0].id]
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  tags                       = var.tags
}

resource "aws_db_subnet_group" "data" {
  count = var.database != null ? 1 : 0

  name       = var.name
  subnet_ids = var.subnets
  tags       = var.tags
}

resource "aws_db_instance" "data" {
  count = var.database != null ? 1 : 0

  identifier                  = "${var.name}-data"
  engine                      = "postgres"
  engine_version              = var.database.version
  instance_class              = var.database.class
  allocated_storage           = var.database.storage
  db_name                     = var.database.name
  username                    = var.database.user
  manage_master_user_password = true
  multi_az                    = var.database.zones
  db_subnet_group_name        = aws_db_subnet_group.data[0].name
  vpc_security_group_ids      = [aws_security_group.shared[0].id]
  storage_encrypted           = true
  backup_retention_period     = 7
  deletion_protection         = true
  copy_tags_to_snapshot       = true
  final_snapshot_identifier   = "${var.name}-data-last"
  tags                        = var.tags
}
