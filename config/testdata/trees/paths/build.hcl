variable "WHERE" { default = "a" }

include {
  paths = [
    "a",
    "a/build.hcl", # ERROR: Duplicate include
    "nope",        # ERROR: No such file
    "empty",       # ERROR: No such file
    "x/*.hcl",     # ERROR: No such file
    "",            # ERROR: Unsuitable path
    "/etc/hosts",  # ERROR: Unsuitable path
    "../cycle",    # ERROR: Unsuitable path
    "[",           # ERROR: Unreadable file
  ]
}

include {
  paths = ["${WHERE}"] # ERROR: Variables not allowed
}

include {} # ERROR: Missing attribute

include {
  path  = ["a"] # ERROR: Unknown attribute
  paths = "a"   # ERROR: Unsuitable value
}

include "a" { # ERROR: Extraneous label for include
  paths = []
}
