# --- What and where ---------------------------------------------------------------------------------------------------

variable "name" {
  description = "The service, as greenroom.yaml has it. Everything that is made here is named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 20
    error_message = "name: small letters, digits and single dashes, at most 20; a load balancer's name may have 32."
  }
}

variable "platform" {
  description = "What the environments are: `ecs` (two services, on Fargate or EC2) or `asg` (two Auto Scaling groups)."
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "asg"], var.platform)
    error_message = "platform: either \"ecs\" or \"asg\"."
  }
}

variable "vpc_id" {
  description = "The network that is there already."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id: the id of a VPC, like vpc-0a1b2c3d."
  }
}

variable "subnets" {
  description = "Where both environments run: the same subnets for both, in two zones or more."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnets)) >= 2 && alltrue([for id in var.subnets : startswith(id, "subnet-")])
    error_message = "subnets: the ids of two or more subnets, like subnet-0a1b2c3d, in different zones."
  }
}

variable "balancer_subnets" {
  description = "Where the load balancer stands, if that is elsewhere (public subnets). Default: `subnets`."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.balancer_subnets) == 0 || length(distinct(var.balancer_subnets)) >= 2
    error_message = "balancer_subnets: a load balancer needs two subnets or more, in different zones."
  }
}

variable "public_ip" {
  description = "Tasks and instances get public addresses: needed in public subnets without a NAT gateway."
  type        = bool
  default     = false
}

variable "tags" {
  description = "On everything that is made here. Keys that begin with `greenroom:` are Greenroom's own."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, _ in var.tags : !startswith(key, "greenroom:") && !startswith(key, "aws:")])
    error_message = "tags: keys that begin with `greenroom:` are written at releases, those with `aws:` by AWS alone."
  }
}

# --- The load balancer ------------------------------------------------------------------------------------------------

variable "load_balancer_arn" {
  description = "An application load balancer that is there already. Default: one is made."
  type        = string
  default     = ""

  validation {
    condition     = var.load_balancer_arn == "" || can(regex(":loadbalancer/app/", var.load_balancer_arn))
    error_message = "load_balancer_arn: the ARN of an application load balancer (…:loadbalancer/app/…)."
  }
}

variable "internal" {
  description = "The load balancer that is made has private addresses only."
  type        = bool
  default     = false
}

variable "open_to" {
  description = "The networks from which users come, of a load balancer that is made here."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for range in var.open_to : can(cidrhost(range, 0))])
    error_message = "open_to: ranges like 203.0.113.0/24."
  }
}

variable "certificate_arn" {
  description = "Of the HTTPS listener. Without one there is HTTP alone."
  type        = string
  default     = ""

  validation {
    condition     = var.certificate_arn == "" || can(regex("^arn:[a-z-]+:(acm|iam):", var.certificate_arn))
    error_message = "certificate_arn: the ARN of a certificate of ACM or IAM."
  }
}

variable "redirect_http" {
  description = "With a certificate: HTTP sends users to HTTPS. false: both serve, and both are switched together."
  type        = bool
  default     = true
}

variable "ports" {
  description = "Where the load balancer listens."
  type = object({
    http  = optional(number, 80)
    https = optional(number, 443)
    test  = optional(number, 8443)
  })
  default = {}

  validation {
    condition = (
      length(distinct([var.ports.http, var.ports.https, var.ports.test])) == 3 &&
      alltrue([for port in [var.ports.http, var.ports.https, var.ports.test] : port >= 1 && port <= 65535])
    )
    error_message = "ports: three different ones, from 1 to 65535."
  }
}

variable "test_from" {
  description = "The networks that may ask the idle colour at the test listener: that of what runs Greenroom. [] makes none."
  type        = list(string)

  validation {
    condition     = alltrue([for range in var.test_from : can(cidrhost(range, 0))])
    error_message = "test_from: ranges like 203.0.113.0/24."
  }
}

variable "health" {
  description = "How the load balancer asks whether a task or an instance is well, and how long it lets old requests end."
  type = object({
    path     = optional(string, "/")
    status   = optional(string, "200-399")
    interval = optional(number, 10)
    timeout  = optional(number, 5)
    healthy  = optional(number, 2)
    sick     = optional(number, 2)
    grace    = optional(number, 60)
    drain    = optional(number, 30)
  })
  default = {}

  validation {
    condition     = startswith(var.health.path, "/")
    error_message = "health.path: begins with a slash."
  }
  validation {
    condition     = var.health.interval >= 5 && var.health.interval <= 300 && var.health.timeout >= 2 && var.health.timeout < var.health.interval
    error_message = "health: an interval from 5 to 300 seconds, and a timeout of 2 or more that is shorter."
  }
  validation {
    condition     = min(var.health.healthy, var.health.sick) >= 2 && max(var.health.healthy, var.health.sick) <= 10
    error_message = "health: healthy and sick are counts from 2 to 10."
  }
  validation {
    condition     = var.health.drain >= 0 && var.health.drain <= 3600
    error_message = "health.drain: from 0 to 3600 seconds; longer than your slowest request."
  }
}

# --- What runs --------------------------------------------------------------------------------------------------------

variable "container" {
  description = "`ecs`: what the first task definition has. Later ones are made at releases, with the image of the version."
  type = object({
    image       = string
    name        = optional(string, "web")
    port        = optional(number, 8080)
    cpu         = optional(number, 256)
    memory      = optional(number, 512)
    command     = optional(list(string), [])
    environment = optional(map(string), {})
    secrets     = optional(map(string), {})
    arm         = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.container == null || try(var.container.port >= 1 && var.container.port <= 65535, false)
    error_message = "container.port: from 1 to 65535."
  }
  validation {
    condition     = var.container == null || try(contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.container.cpu), false)
    error_message = "container.cpu: 256, 512, 1024, 2048, 4096, 8192 or 16384 (1024 is one core)."
  }
  validation {
    condition     = var.container == null || try(alltrue([for arn in values(var.container.secrets) : can(regex("^arn:[a-z-]+:(secretsmanager|ssm):", arn))]), false)
    error_message = "container.secrets: variable = ARN of a secret (Secrets Manager) or a parameter (SSM); never the value."
  }
}

variable "cluster_arn" {
  description = "`ecs`: a cluster that is there already. Default: one is made."
  type        = string
  default     = ""

  validation {
    condition     = var.cluster_arn == "" || can(regex(":ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.cluster_arn))
    error_message = "cluster_arn: the ARN of an ECS cluster."
  }
}

variable "launch_type" {
  description = "`ecs`: `FARGATE`, or `EC2` for instances that your cluster has."
  type        = string
  default     = "FARGATE"

  validation {
    condition     = contains(["FARGATE", "EC2"], var.launch_type)
    error_message = "launch_type: either \"FARGATE\" or \"EC2\"."
  }
  validation {
    condition     = var.launch_type == "FARGATE" || var.cluster_arn != ""
    error_message = "launch_type EC2 needs cluster_arn: a cluster that has instances. The one that is made here has none."
  }
}

variable "instances" {
  description = "`asg`: what the first version of the launch template has. Later ones are made at releases."
  type = object({
    ami       = string
    type      = optional(string, "t3.small")
    port      = optional(number, 8080)
    user_data = optional(string, "")
    warm_up   = optional(number, 60)
  })
  default = null

  validation {
    condition     = var.instances == null || can(regex("^ami-", var.instances.ami))
    error_message = "instances.ami: the id of an image, like ami-0a1b2c3d."
  }
}

variable "scaling" {
  description = "Of either colour: how many run, and at which average use of the CPU there are more. `cpu = 0`: no policy."
  type = object({
    min = optional(number, 2)
    max = optional(number, 6)
    cpu = optional(number, 60)
  })
  default = {}

  validation {
    condition     = var.scaling.min >= 1 && var.scaling.max >= var.scaling.min
    error_message = "scaling: min is 1 or more, and max not less than min."
  }
  validation {
    condition     = var.scaling.cpu >= 0 && var.scaling.cpu < 100
    error_message = "scaling.cpu: percents from 1 to 99, or 0 for no policy."
  }
}

# --- Beside it --------------------------------------------------------------------------------------------------------

variable "journal" {
  description = "The table of Greenroom's record and lock. One table is enough for all services of an account: the others say `create = false`."
  type = object({
    table  = optional(string, "greenroom")
    create = optional(bool, true)
  })
  default = {}

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.journal.table))
    error_message = "journal.table: letters, digits, dots, dashes and underscores, from 3 to 255."
  }
}

variable "ci" {
  description = "Which GitHub repository may release, by OIDC: no key is kept anywhere. null: no role is made."
  type = object({
    repository   = string
    refs         = optional(list(string), ["ref:refs/tags/v*"])
    provider_arn = optional(string, "")
  })
  default = null

  validation {
    condition     = var.ci == null || can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.ci.repository))
    error_message = "ci.repository: like owner/name, without a star: whoever can push there can release."
  }
  validation {
    condition     = var.ci == null || try(length(var.ci.refs) > 0 && !contains(var.ci.refs, "*"), false)
    error_message = "ci.refs: which runs may release, like ref:refs/tags/v* or environment:production; not `*`, which any pull request is."
  }
}

variable "alarms" {
  description = "By colour: named <name>-<colour>-5xx, -latency and -sick. null: none."
  type = object({
    errors  = optional(number, 5)
    p99     = optional(number, 1)
    actions = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = var.alarms == null || try(var.alarms.errors > 0 && var.alarms.p99 > 0, false)
    error_message = "alarms: errors (a minute) and p99 (seconds) are more than 0."
  }
}

variable "log_days" {
  description = "How long the tasks' output is kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days: one of the numbers that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, …"
  }
}

variable "cache" {
  description = "A Redis (ElastiCache) that both colours share: sessions survive a switch. null: none."
  type = object({
    node_type = optional(string, "cache.t4g.micro")
    replicas  = optional(number, 1)
  })
  default = null

  validation {
    condition     = var.cache == null || try(var.cache.replicas >= 0 && var.cache.replicas <= 5, false)
    error_message = "cache.replicas: from 0 to 5."
  }
}

variable "database" {
  description = "A PostgreSQL (RDS) that both colours share. Its password is made by AWS and kept in Secrets Manager. null: none."
  type = object({
    class   = optional(string, "db.t4g.micro")
    version = optional(string, "16")
    storage = optional(number, 20)
    name    = optional(string, "app")
    user    = optional(string, "app")
    zones   = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.database == null || try(var.database.storage >= 20, false)
    error_message = "database.storage: 20 GiB or more."
  }
}
