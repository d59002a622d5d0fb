package policy

import "time"

// An Input is what the rules read as input: one source and the target. Its form is
// that of docker buildx. Fields that are not known yet are left out.
type Input struct {
	Env   Env         `json:"env,omitzero"`
	Local *LocalInput `json:"local,omitempty"`
	Image *ImageInput `json:"image,omitempty"`
	HTTP  *HTTPInput  `json:"http,omitempty"`
	Git   *GitInput   `json:"git,omitempty"`
}

// A LocalInput is a directory that the engine is sent.
type LocalInput struct {
	Name string `json:"name,omitempty"` // context, dockerfile, or that of a named context
}

// An HTTPInput is a file that is fetched by its URL.
type HTTPInput struct {
	URL      string              `json:"url,omitempty"`
	Schema   string              `json:"schema,omitempty"`
	Host     string              `json:"host,omitempty"` // lower case, in ASCII, without a port that is the usual one
	Path     string              `json:"path,omitempty"`
	Query    map[string][]string `json:"query,omitempty"`
	HasAuth  bool                `json:"hasAuth,omitempty"`
	Checksum string              `json:"checksum,omitempty"`
}

// A GitInput is a commit of a repository.
type GitInput struct {
	Schema  string `json:"schema,omitempty"`
	Host    string `json:"host,omitempty"`
	Remote  string `json:"remote,omitempty"`
	FullURL string `json:"fullURL,omitempty"`
	Subdir  string `json:"subDir,omitempty"`

	Ref         string `json:"ref,omitempty"`
	TagName     string `json:"tagName,omitempty"`
	Branch      string `json:"branch,omitempty"`
	IsCommitRef bool   `json:"isCommitRef,omitempty"`

	Checksum       string `json:"checksum,omitempty"` // of the tag if it is annotated
	CommitChecksum string `json:"commitChecksum,omitempty"`
	IsAnnotatedTag bool   `json:"isAnnotatedTag,omitempty"`
	IsSHA256       bool   `json:"isSHA256,omitempty"`

	Tag    *TagInput    `json:"tag,omitempty"`
	Commit *CommitInput `json:"commit,omitempty"`
}

// A CommitInput is a commit object.
type CommitInput struct {
	Tree         string     `json:"tree,omitempty"`
	Parents      []string   `json:"parents,omitempty"`
	Author       ActorInput `json:"author,omitzero"`
	Committer    ActorInput `json:"committer,omitzero"`
	Message      string     `json:"message,omitempty"`
	PGPSignature *PGPInput  `json:"pgpSignature,omitempty"`
	SSHSignature *SSHInput  `json:"sshSignature,omitempty"`
}

// A TagInput is an annotated tag.
type TagInput struct {
	Object       string     `json:"object,omitempty"`
	Type         string     `json:"type,omitempty"`
	Tag          string     `json:"tag,omitempty"`
	Tagger       ActorInput `json:"tagger,omitzero"`
	Message      string     `json:"message,omitempty"`
	PGPSignature *PGPInput  `json:"pgpSignature,omitempty"`
	SSHSignature *SSHInput  `json:"sshSignature,omitempty"`
}

// An ActorInput is who made a commit or tag, and when.
type ActorInput struct {
	Name  string     `json:"name,omitempty"`
	Email string     `json:"email,omitempty"`
	When  *time.Time `json:"when,omitempty"`
}

// A PGPInput is a signature that nobody has verified.
type PGPInput struct {
	Version int    `json:"version,omitempty"`
	KeyID   string `json:"keyID,omitempty"`
}

// An SSHInput is a signature that nobody has verified.
type SSHInput struct {
	Version int    `json:"version,omitempty"`
	PubKey  string `json:"pubKey,omitempty"` // fingerprint
}

// An ImageInput is an image of a registry, for one platform.
type ImageInput struct {
	Ref          string `json:"ref,omitempty"`
	Host         string `json:"host,omitempty"`
	Repo         string `json:"repo,omitempty"`     // as a person writes it
	FullRepo     string `json:"fullRepo,omitempty"` // with the host
	Tag          string `json:"tag,omitempty"`
	Platform     string `json:"platform,omitempty"`
	OS           string `json:"os,omitempty"`
	Architecture string `json:"arch,omitempty"`
	Variant      string `json:"variant,omitempty"`
	IsCanonical  bool   `json:"isCanonical,omitempty"` // it is named by digest
	Checksum     string `json:"checksum,omitempty"`

	CreatedTime string            `json:"createdTime,omitempty"`
	Env         []string          `json:"env,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	User        string            `json:"user,omitempty"`
	Volumes     []string          `json:"volumes,omitempty"`
	WorkingDir  string            `json:"workingDir,omitempty"`

	HasProvenance bool             `json:"hasProvenance,omitempty"`
	Provenance    *ProvenanceInput `json:"provenance,omitempty"`
	Signatures    []SignatureInput `json:"signatures,omitempty"`
}

// A ProvenanceInput is what the image's provenance says of how it was built.
type ProvenanceInput struct {
	PredicateType string             `json:"predicateType,omitempty"`
	BuildType     string             `json:"buildType,omitempty"`
	BuilderID     string             `json:"builderID,omitempty"`
	InvocationID  string             `json:"invocationID,omitempty"`
	StartedOn     string             `json:"startedOn,omitempty"`
	FinishedOn    string             `json:"finishedOn,omitempty"`
	ConfigSource  *ConfigSourceInput `json:"configSource,omitempty"`
	Frontend      string             `json:"frontend,omitempty"`
	BuildArgs     map[string]string  `json:"buildArgs,omitempty"`
	RawArgs       map[string]string  `json:"rawArgs,omitempty"`
	Reproducible  *bool              `json:"reproducible,omitempty"`
	Hermetic      *bool              `json:"hermetic,omitempty"`
	Completeness  *CompletenessInput `json:"completeness,omitempty"`
	Materials     []Input            `json:"materials,omitempty"`
}

// A ConfigSourceInput is where a build file was.
type ConfigSourceInput struct {
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
	Path   string            `json:"path,omitempty"`
}

// A CompletenessInput says what a provenance claims to be complete about.
type CompletenessInput struct {
	Parameters  *bool `json:"parameters,omitempty"`
	Environment *bool `json:"environment,omitempty"`
	Materials   *bool `json:"materials,omitempty"`
}

// A SignatureInput is a signature that was verified, and who made it.
type SignatureInput struct {
	Kind            string           `json:"kind,omitempty"`
	Type            string           `json:"type,omitempty"`
	Timestamps      []TimestampInput `json:"timestamps,omitempty"`
	DockerReference string           `json:"dockerReference,omitempty"`
	IsDHI           bool             `json:"isDHI,omitempty"`
	Signer          *SignerInput     `json:"signer,omitempty"`
}

// A TimestampInput is a time that somebody vouched for.
type TimestampInput struct {
	Type      string    `json:"type"`
	URI       string    `json:"uri"`
	Timestamp time.Time `json:"timestamp"`
}

// A SignerInput is what a certificate of Fulcio says.
type SignerInput struct {
	CertificateIssuer                   string `json:"certificateIssuer"`
	SubjectAlternativeName              string `json:"subjectAlternativeName"`
	Issuer                              string `json:"issuer,omitempty"`
	BuildSignerURI                      string `json:"buildSignerURI,omitempty"`
	BuildSignerDigest                   string `json:"buildSignerDigest,omitempty"`
	RunnerEnvironment                   string `json:"runnerEnvironment,omitempty"`
	SourceRepositoryURI                 string `json:"sourceRepositoryURI,omitempty"`
	SourceRepositoryDigest              string `json:"sourceRepositoryDigest,omitempty"`
	SourceRepositoryRef                 string `json:"sourceRepositoryRef,omitempty"`
	SourceRepositoryIdentifier          string `json:"sourceRepositoryIdentifier,omitempty"`
	SourceRepositoryOwnerURI            string `json:"sourceRepositoryOwnerURI,omitempty"`
	SourceRepositoryOwnerIdentifier     string `json:"sourceRepositoryOwnerIdentifier,omitempty"`
	BuildConfigURI                      string `json:"buildConfigURI,omitempty"`
	BuildConfigDigest                   string `json:"buildConfigDigest,omitempty"`
	BuildTrigger                        string `json:"buildTrigger,omitempty"`
	RunInvocationURI                    string `json:"runInvocationURI,omitempty"`
	SourceRepositoryVisibilityAtSigning string `json:"sourceRepositoryVisibilityAtSigning,omitempty"`
}
