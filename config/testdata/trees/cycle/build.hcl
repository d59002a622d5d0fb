include {
  paths = ["a", "build.hcl"] # ERROR: Include cycle
}
