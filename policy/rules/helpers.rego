# Functions that every policy can call, by the names that docker buildx has for them.
package docker

# Was the image built by Docker's builder on GitHub, from this repository?
docker_github_builder(image, repo) if {
	image.hasProvenance
	some signature in image.signatures
	docker_github_builder_signature(signature, repo)
}

# ... and from this tag of it?
docker_github_builder_tag(image, repo, tag) if {
	docker_github_builder(image, repo)
	some signature in image.signatures
	signature.signer.sourceRepositoryRef == concat("", ["refs/tags/", tag])
}

# Is a verified signature that of Docker's builder?
docker_github_builder_signature(signature, repo) if {
	signature.kind == "docker-github-builder"
	signature.type == "bundle-v0.3"
	count(signature.timestamps) > 0
	signer := signature.signer
	signer.certificateIssuer == "CN=sigstore-intermediate,O=sigstore.dev"
	signer.issuer == "https://token.actions.githubusercontent.com"
	signer.runnerEnvironment == "github-hosted"
	signer.sourceRepositoryURI == concat("", ["https://github.com/", repo])
}

# Was the file built by it, by the bundle in a file of the context?
docker_github_builder_bundle(http, filename, repo) if {
	docker_github_builder_signature(artifact_attestation(http, filename), repo)
}

# The attestation that GitHub keeps for a file of a release.
github_release_attestation(http) := github_attestation(http, repo) if {
	http.schema == "https"
	http.host == "github.com"
	found := regex.find_all_string_submatch_n(`^/([^/]+/[^/]+)/releases/download/[^/]+/.+$`, http.path, 1)
	repo := found[0][1]
}
