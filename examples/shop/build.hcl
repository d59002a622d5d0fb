# The shop: five services, a static site, their tools and their configuration,
# built as one graph and without a registry.
#
#   strata build --allow fs.read=/usr/local/go

variable "GOROOT" {
  description = "the Go installation of this machine"
  default     = "/usr/local/go"
}

variable "REGISTRY" {
  description = "where the images will go, such as registry.example.com/team"
  default     = ""
}

variable "VERSION" {
  description = "the tag of all images"
  default     = "dev"
}

function "image" {
  params = [name]
  result = [join("/", compact([REGISTRY, "shop", "${name}:${VERSION}"]))]
}

group "default" {
  targets = ["base", "services", "site", "tools", "config"]
}

group "services" {
  targets = ["api", "orders", "worker", "gateway", "web"]
}

group "tools" {
  targets = ["fileserver", "healthcheck", "migrate"]
}

group "config" {
  targets = ["config-dev", "config-prod"]
}

target "_shop" {
  labels = { "org.opencontainers.image.source" = "https://github.com/strata-build/strata" }
}

# toolchain is what golang:1.26 would be if there were a registry: this machine's
# Go, with the packages compiled that every service needs.
target "toolchain" {
  description = "Go, ready to compile"
  inherits    = ["_shop"]
  contexts    = { goroot = GOROOT }
  output      = ["type=cacheonly"]

  step { from = "scratch" }
  step {
    copy = ["bin/go", "/usr/local/go/bin/"]
    from = "goroot"
  }
  step {
    copy = ["pkg/", "/usr/local/go/pkg/"]
    from = "goroot"
  }
  step {
    copy = ["src/", "/usr/local/go/src/"]
    from = "goroot"
  }
  step {
    copy = ["lib/time/zoneinfo.zip", "/usr/local/go/lib/time/"]
    from = "goroot"
  }
  step {
    copy = ["go.env", "VERSION", "/usr/local/go/"]
    from = "goroot"
  }
  step {
    env = {
      PATH        = "/usr/local/go/bin"
      CGO_ENABLED = "0"
      GOCACHE     = "/go/cache"
      GOFLAGS     = "-trimpath -buildvcs=false -ldflags=-s"
      GOPATH      = "/go"
      GOTOOLCHAIN = "local"
      ZONEINFO    = "/usr/local/go/lib/time/zoneinfo.zip"
    }
  }
  step {
    run = ["go", "build", "html/template", "log/slog", "net/http/httputil"]
    mount {
      type   = "tmpfs"
      target = "/tmp"
    }
  }
  step { workdir = "/src" }
}

target "tool" {
  description = "${tool}, a static program in an image of its own"
  name        = tool
  matrix      = { tool = ["fileserver", "healthcheck", "migrate"] }
  inherits    = ["_shop"]
  contexts    = { toolchain = "target:toolchain" }
  dockerfile  = "go.Dockerfile"
  target      = "tool"
  args        = { PACKAGE = "tools/${tool}" }
  tags        = image(tool)
}

# base is what all long-running images start from.
target "base" {
  description = "users, certificates, time zones and a health check"
  inherits    = ["_shop"]
  contexts    = { goroot = GOROOT }
  tags        = image("base")

  step { from = "scratch" }
  step { copy = ["base/etc/", "/etc/"] }
  step { copy = ["base/certs/", "/etc/ssl/certs/"] }
  step {
    copy = ["lib/time/zoneinfo.zip", "/usr/share/zoneinfo.zip"]
    from = "goroot"
  }
  step {
    copy = ["/program", "/bin/healthcheck"]
    from = "target:healthcheck"
  }
  step {
    env = {
      PATH     = "/bin"
      ZONEINFO = "/usr/share/zoneinfo.zip"
    }
  }
  step { workdir = "/srv" }
  step { user = "shop" }
  step { healthcheck = ["/bin/healthcheck"] }
}

# catalogue applies the migrations when it is built, with the tool that is built
# for it, so that a bad migration stops the build and not the shop.
target "catalogue" {
  description = "the base with what the shop sells"
  inherits    = ["_shop"]
  tags        = image("catalogue")

  step {
    from = "target:migrate"
    as   = "migrated"
  }
  step {
    run = ["/program", "-from", "/migrations", "-to", "/data/catalogue.json"]
    mount {
      source = "migrations"
      target = "/migrations"
    }
  }
  step { from = "target:base" }
  step {
    copy = ["/data/", "/data/"]
    from = "migrated"
  }
}

target "service" {
  description = "${service.name}, listening at port ${service.port}"
  name        = service.name
  matrix = {
    service = [
      { name = "api", port = 8081, base = "target:catalogue" },
      { name = "orders", port = 8082, base = "target:base" },
      { name = "worker", port = 8083, base = "target:base" },
      { name = "web", port = 8084, base = "target:base" },
      { name = "gateway", port = 8080, base = "target:base" },
    ]
  }
  inherits = ["_shop"]
  contexts = {
    toolchain = "target:toolchain"
    base      = service.base
  }
  dockerfile = "go.Dockerfile"
  target     = "service"
  args = {
    PACKAGE = "services/${service.name}"
    PORT    = service.port
  }
  tags = image(service.name)
}

target "site" {
  description = "the static pages and a server for them"
  inherits    = ["_shop"]
  contexts = {
    base       = "target:base"
    fileserver = "target:fileserver"
  }
  dockerfile-inline = <<EOT
FROM base
COPY --from=fileserver /program /bin/fileserver
COPY site/public/ /srv/
ENV ADDR=:8085
EXPOSE 8085
ENTRYPOINT ["/bin/fileserver"]
EOT
  tags              = image("site")
}

target "settings" {
  description       = "the settings of ${env}, as files"
  name              = "config-${env}"
  matrix            = { env = ["dev", "prod"] }
  inherits          = ["_shop"]
  dockerfile-inline = <<EOT
FROM scratch
COPY config/common.env config/${env}.env /
EOT
  output            = ["type=local,dest=dist/config-${env}"]
}

# test is not in the default group: strata build test
target "test" {
  description       = "go vet and go test, in the toolchain"
  inherits          = ["_shop"]
  contexts          = { toolchain = "target:toolchain" }
  dockerfile-inline = <<EOT
FROM toolchain
COPY go.mod ./
COPY lib/ lib/
COPY services/ services/
COPY tools/ tools/
RUN --mount=type=cache,id=shop-go,from=toolchain,source=/go/cache,target=/go/cache \
    --mount=type=tmpfs,target=/tmp \
    ["go", "test", "-count=1", "./..."]
EOT
  output            = ["type=cacheonly"]
}
