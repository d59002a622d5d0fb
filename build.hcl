# What this project builds with itself: the example shop, and its own image.
#
#   strata build --allow fs.read=/usr/local/go            the shop
#   make release                                          the image of strata

include { paths = ["examples/shop"] }

group "default" {
  targets = ["examples/shop:default"]
}

variable "GOPROXY" {
  description = "where the modules that strata needs come from; empty is Go's own choice"
  default     = ""
}

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

variable "CERTS" {
  description = "the certificates that GOPROXY is trusted by"
  default     = "/etc/ssl/certs/ca-certificates.crt"
}

group "release" {
  targets = ["strata"]
}

# strata as an image: for a remote engine, because there is no OCI runtime in it.
target "strata" {
  description = "strata itself"
  contexts = {
    goroot = GOROOT
    certs  = dirname(CERTS)
  }
  args              = { GOPROXY = GOPROXY }
  dockerfile-inline = <<EOT
FROM scratch AS build
ENV CGO_ENABLED=0 \
    GOFLAGS="-trimpath -buildvcs=false -ldflags=-s" \
    GOTOOLCHAIN=local \
    HOME=/root \
    PATH=/usr/local/go/bin
ARG GOPROXY
WORKDIR /src
RUN --mount=type=bind,target=/src \
    --mount=type=bind,from=goroot,target=/usr/local/go \
    --mount=type=bind,from=certs,source=${basename(CERTS)},target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=cache,id=strata-modules,target=/root/go/pkg/mod \
    --mount=type=cache,id=strata-go,target=/root/.cache/go-build \
    --mount=type=tmpfs,target=/tmp \
    ["go", "build", "-o", "/out/strata", "./cmd/strata"]

FROM scratch
COPY --from=certs ${basename(CERTS)} /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/strata /strata
ENTRYPOINT ["/strata"]
EOT
  tags              = [join("/", compact([REGISTRY, "strata-build", "strata:${VERSION}"]))]
}
