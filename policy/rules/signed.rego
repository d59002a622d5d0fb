# What BUILDX_DEFAULT_POLICY=1 asks for: images of Docker's that a build may use
# without naming them have to be signed, since the versions that are. Images named by
# digest alone, and all others, are allowed.
package docker

decision := {"allow": count(unsigned) == 0, "deny_msg": [msg | some msg in unsigned]}

unsigned contains msg if {
	wanted
	not proven
	msg := sprintf("image %s is not allowed by the default policy: its tag %s has to be signed by Docker's builder on GitHub", [input.image.ref, tag])
}

tag := input.image.tag

# The images, and the repositories that they are built from.
repositories := {
	"docker.io/docker/dockerfile": "moby/buildkit",
	"docker.io/docker/dockerfile-upstream": "moby/buildkit",
	"docker.io/docker/buildkit-syft-scanner": "docker/buildkit-syft-scanner",
	"docker.io/moby/buildkit": "moby/buildkit",
}

repository := repositories[input.image.fullRepo]

frontend if input.image.fullRepo in {"docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"}

scanner if input.image.fullRepo == "docker.io/docker/buildkit-syft-scanner"

buildkit if input.image.fullRepo == "docker.io/moby/buildkit"

# Tags that move from version to version.
moving if {
	frontend
	tag in {"latest", "labs", "master"}
}

moving if {
	scanner
	tag == "latest"
}

moving if {
	buildkit
	regex.match(`^(latest(-ubuntu)?|rootless|(master|nightly)(-rootless|-ubuntu)?|buildx-stable-\d+(-rootless|-gpu)?)$`, tag)
}

wanted if moving

wanted if {
	frontend
	since(version(tag), 1, 21)
}

wanted if {
	scanner
	since(version(tag), 1, 10)
}

wanted if {
	buildkit
	since(version(regex.replace(release, `^v|-rc\d+$`, "")), 0, 27)
}

# The release of BuildKit that a tag stands for, without the kind of the image.
release := found[0][1] if {
	buildkit
	found := regex.find_all_string_submatch_n(`^(v\d+\.\d+\.\d+(-rc\d+)?)(-rootless|-ubuntu)?$`, tag, 1)
}

# [major, minor] of a version. The minor of "1" is that of the newest.
version(text) := [to_number(found[0][1]), to_number(found[0][2])] if {
	found := regex.find_all_string_submatch_n(`^(\d+)\.(\d+)(\.\d+)?(-labs)?$`, text, 1)
}

version(text) := [to_number(found[0][1]), 999999] if {
	found := regex.find_all_string_submatch_n(`^(\d+)(-labs)?$`, text, 1)
}

since(v, major, _) if v[0] > major

since(v, major, minor) if {
	v[0] == major
	v[1] >= minor
}

proven if {
	some signature in input.image.signatures
	docker_github_builder_signature(signature, repository)
	made_for(signature.signer.sourceRepositoryRef)
}

made_for(_) if moving

made_for(ref) if {
	buildkit
	ref == concat("", ["refs/tags/", release])
}

made_for(ref) if {
	frontend
	startswith(ref, "refs/tags/dockerfile/")
	built := trim_prefix(ref, "refs/tags/dockerfile/")
	endswith(tag, "-labs") == endswith(built, "-labs")
	stands_for(trim_suffix(tag, "-labs"), trim_suffix(built, "-labs"))
}

made_for(ref) if {
	scanner
	startswith(ref, "refs/tags/")
	stands_for(tag, trim_prefix(ref, "refs/tags/"))
}

# Can a tag such as 1 or 1.21 stand for this version?
stands_for(exact, built) if exact == built

stands_for(short, built) if {
	regex.match(`^\d+\.\d+$`, short)
	version(short) == version(built)
}

stands_for(short, built) if {
	regex.match(`^\d+$`, short)
	version(short)[0] == version(built)[0]
}
