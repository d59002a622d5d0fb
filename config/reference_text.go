package config

const targetText = "One image to build, or files to make. The name is its label: letters, digits, _ and -."

const targetExample = `target "api" {
  context = "services/api"
  tags    = ["shop/api:dev"]
}
`

const groupExample = `group "default" {
  description = "what a plain strata build makes"
  targets     = ["api", "web"]
}

target "api" {}

target "web" {}
`

const variableExample = `variable "VERSION" {
  type        = string
  default     = "1.4.0"
  description = "the version to build"
  validation {
    condition     = semvercmp(VERSION, ">= 1.0")
    error_message = "VERSION is ${VERSION}, which is too old."
  }
}

target "default" {
  tags = ["shop/api:${VERSION}"]
}
`

const functionExample = `function "image" {
  params          = [name]
  variadic_params = more
  result          = join(":", concat(["shop/${name}"], more))
}

target "default" {
  tags = [image("api", "dev")]
}
`

const strataExample = `strata {
  edition = 1
  link    = "auto"
}

target "default" {
  needs = ["test"]
}

target "test" {}
`

const includeExample = `include {
  paths = ["services/*", "lib/base/build.hcl"]
}

group "default" {
  targets = ["services/api:api", "base"]
}
`

const stepsExample = `steps "go" {
  step { from = "golang:1.26" }
  step { workdir = "/src" }
  step { copy = [".", "."] }
}

target "api" {
  step { use = "go" }
  step { run = "go build ./cmd/${self.name}" }
}
`

const dynamicExample = `target "tools" {
  step { from = "golang:1.26" }
  dynamic "step" {
    for_each = ["staticcheck", "goimports"]
    iterator = tool
    content { run = "go install example.com/${tool.value}@latest" }
  }
}
`

const templateExample = `template "service" {
  params = { port = optional(number, 8080), owner = string }
  context = "services/${self.name}"
  tags    = ["shop/${self.name}:dev"]
  labels  = { owner = param.owner }
  args    = { PORT = param.port }
}

target "api" {
  template = "service"
  with     = { owner = "core" }
}
`

const demandExample = `target "api" {
  context = "services/api"
  resources {
    cpu    = 2
    memory = "4g"
  }
}
`

const poolExample = `pool "heavy" {
  size = 2
}

target "api" {
  pool = "heavy"
}
`

const cacheExample = `cache {
  repository  = "registry.example.com/shop/cache"
  scopes      = ["feature/login", "main"]
  write       = true
  mode        = "max"
  compression = "zstd"
  sign        = "keys/cache.key"
  verify      = ["keys/cache.pub"]
}

target "api" {}
`

const localsExample = `locals {
  registry = "example.com/shop"
  image    = "${local.registry}/api"
}

target "default" {
  tags = ["${local.image}:dev"]
}
`

// attributeHelp says what attributes are for. For those of a target the second
// text is an example, for those of other blocks the type.
var attributeHelp = map[string][2]string{
	"annotations":       {"Annotations of the image's manifest or index, KEY=VALUE, with a level such as index: before it.", `annotations = ["index:org.opencontainers.image.title=api"]`},
	"args":              {"Build arguments: what ARG in the Dockerfile gets. A null value is left out.", `args = { GO_VERSION = "1.26" }`},
	"attest":            {"Attestations: provenance and sbom.", `attest = ["type=provenance,mode=max", { type = "sbom" }]`},
	"cache-from":        {"Where layers are taken from that are not in the engine's own cache.", `cache-from = ["type=registry,ref=shop/cache:api"]`},
	"cache-to":          {"Where layers are written to for later builds.", `cache-to = ["type=inline"]`},
	"call":              {"What to do with the target instead of building it: build, check, outline or targets.", `call = "check"`},
	"clear":             {"Attributes of which nothing is inherited; step for the steps.", `clear = ["annotations"]`},
	"context":           {"The directory or URL that COPY reads. Default: the directory of the command.", `context = "services/api"`},
	"contexts":          {"More directories, URLs, images (docker-image://) and other targets (target:), by the name that FROM and COPY --from use.", `contexts = { base = "target:base" }`},
	"description":       {"What the target is, for strata list.", `description = "the public API"`},
	"dockerfile":        {"The Dockerfile, relative to the context. Default: Dockerfile.", `dockerfile = "api.Dockerfile"`},
	"dockerfile-inline": {"The text of the Dockerfile.", `dockerfile-inline = "FROM scratch\nCOPY . /\n"`},
	"entitlements":      {"What RUN may do that is refused by default: network.host, security.insecure. The command line must grant it.", `entitlements = ["network.host"]`},
	"extra-hosts":       {"More names in /etc/hosts of RUN.", `extra-hosts = { "db.local" = "10.0.0.5" }`},
	"include.paths":     {"Files, directories with a build.hcl, or patterns for either, relative to this file.", "list of strings"},
	"link":              {"With auto, images that the Dockerfile names (FROM, COPY --from, RUN --mount=from) are linked to the targets of that name or tag, as if contexts said so. Default: that of the strata block, else none.", `link = "auto"`},
	"inherits":          {"Targets whose attributes this one takes over; of several the last wins, and the target's own win over all.", `inherits = ["_base"]`},
	"labels":            {"Labels of the image's configuration.", `labels = { "org.opencontainers.image.title" = "api" }`},
	"matrix":            {"Makes one target for every combination of the values; expressions use the keys. Needs name.", "name   = \"app-${os}\"\nmatrix = { os = [\"linux\", \"windows\"] }"},
	"name":              {"The name of each target of a matrix.", "name   = \"app-${os}\"\nmatrix = { os = [\"linux\", \"windows\"] }"},
	"needs":             {"Targets that are built before this one, which takes nothing of them.", `needs = [target.base]`},
	"network":           {"The network of RUN: default, none or host.", `network = "none"`},
	"no-cache":          {"Uses no cached step.", `no-cache = true`},
	"no-cache-filter":   {"Stages of which no step is taken from the cache.", `no-cache-filter = ["build"]`},
	"output":            {"What to do with the result: image, registry, docker, oci, local, tar or cacheonly.", `output = ["type=local,dest=dist"]`},
	"platforms":         {"The platforms to build for. Default: that of the engine.", `platforms = ["linux/amd64", "linux/arm64"]`},
	"pool":              {"The pool that the target is in: see the block pool.", "pool = \"heavy\""},
	"policy":            {"Source policies: files of rules in Rego, whose paths start in the context, or options.", `policy = [{ filename = "policy.rego" }]`},
	"pull":              {"Looks for newer base images.", `pull = true`},
	"resources":         {"What a RUN step may use: memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus, cpuset-mems.", `resources = { memory = "512m", cpu-shares = 512 }`},
	"secret":            {"Secrets that RUN can mount, from a file (src) or an environment variable (env).", `secret = [{ id = "token", env = "API_TOKEN" }]`},
	"shm-size":          {"The size of /dev/shm of RUN.", `shm-size = "64m"`},
	"ssh":               {"ssh agents and keys that RUN can mount.", `ssh = [{ id = "default" }]`},
	"tags":              {"The names of the image.", `tags = ["shop/api:dev"]`},
	"target":            {"The stage of the Dockerfile to build. Default: the last.", `target = "release"`},
	"template":          {"The template that the target is made from; with has its parameters.", "template = \"service\"\nwith     = { owner = \"core\" }"},
	"with":              {"The parameters of the template.", "template = \"service\"\nwith     = { owner = \"core\" }"},
	"ulimits":           {"Limits of the processes of RUN.", `ulimits = ["nofile=1024:2048"]`},

	"group.targets":            {"The targets and groups.", "list of strings"},
	"group.description":        {"What the group is, for strata list.", "string"},
	"variable.type":            {"The type: string, number, bool, any, list(T), set(T), map(T), tuple([T]), object({a = T}).", "type"},
	"variable.default":         {"The value if nothing else is given.", "any"},
	"variable.description":     {"What the variable is for, without expressions.", "string"},
	"validation.condition":     {"What must be true.", "bool"},
	"validation.error_message": {"What is said if it is not.", "string"},
	"function.params":          {"The names of the parameters.", "list of names"},
	"function.variadic_params": {"The name of the list of further arguments.", "name"},
	"strata.link":              {"What link is for the targets of the file and of those it includes: auto or none.", "string"},
	"strata.edition":           {"The version of the language: 1.", "number"},
	"dynamic.for_each":         {"A list, a set or a map.", "any"},
	"dynamic.iterator":         {"The name whose key and value the content can use. Default: step.", "name"},
	"template.params":          {"The parameters with their types; optional(T, DEFAULT) need not be given.", "object of types"},
	"resources.cpu":            {"Cores; a part of one counts too.", "number"},
	"resources.memory":         {"Memory, such as 512m or 4g.", "string"},
	"pool.size":                {"How many targets, at least 1.", "number"},
	"cache.repository":         {"The repository below which every scope has its own.", "string"},
	"cache.scopes":             {"What is read, in this order; the first is written. Names, or objects with name and repository. Default: main.", "list of strings or objects"},
	"cache.write":              {"Whether what was built is written. Default: false.", "bool"},
	"cache.mode":               {"Which layers are written: max, those of all steps, or min, those of the image. Default: max.", "string"},
	"cache.compression":        {"How layers are packed: gzip, zstd, estargz or uncompressed. Default: as BuildKit has them.", "string"},
	"cache.sign":               {"The file of the private key that signs what is written.", "string"},
	"cache.verify":             {"The files of the public keys of which one must have signed what is read.", "list of strings"},
	"function.result":          {"The value, which can use the parameters.", "any"},
}
