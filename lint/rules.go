package lint

import "strings"

// A Rule is one thing to look for. Ids are stable: they stand in people's files.
type Rule struct {
	ID       string
	Severity Severity
	Off      bool   // only when enabled
	Title    string // noun phrase
	Fix      string // what to do

	// Supersedes is the check of BuildKit that says the same of an instruction.
	Supersedes string

	check func(*scope, *reporter) // one target
	all   func(*reporter)         // the whole selection, after all targets
}

// rules is the table of the trade. docs/reference/check.md explains each.
var rules = []*Rule{
	{
		ID: "latest-base", Severity: Warning, Title: "Base image without a version", check: latestBase,
		Fix: "Name a version, so that the image is the same tomorrow.",
	},
	{
		ID: "unpinned-base", Severity: Info, Title: "Base image without a digest", check: unpinnedBase,
		Fix: "Append the digest (@sha256:...), and let a bot renew it.",
	},
	{
		ID: "base-not-allowed", Severity: Error, Title: "Base image not allowed", check: baseNotAllowed,
		Fix: "Use an image that --allow-base names, or allow this one.",
	},
	{
		ID: "forgotten-link", Severity: Warning, Title: "Target named without a link", check: forgottenLink,
		Fix: "Link it, so that it is built first: link = \"auto\", or contexts = { NAME = \"target:NAME\" }. Or name the image in full if another one is meant.",
	},
	{
		ID: "copy-before-install", Severity: Warning, Title: "Files that change often before a slow step", check: copyBeforeInstall,
		Fix: "Copy only what the step reads (the lock file) before it, and the rest after it.",
	},
	{
		ID: "several-cmd", Severity: Warning, Title: "Instruction without effect", check: severalCmd,
		Fix: "Remove all but the last one.", Supersedes: "MultipleInstructionsDisallowed",
	},
	{
		ID: "secret-in-build", Severity: Warning, Title: "Secret in an argument or variable", check: secretInBuild,
		Fix: "Hand it over as a build secret: RUN --mount=type=secret.", Supersedes: "SecretsUsedInArgOrEnv",
	},
	{
		ID: "secret-in-label", Severity: Warning, Title: "Secret in a label", check: secretInLabel,
		Fix: "Remove it: labels are published with the image.",
	},
	{
		ID: "key-in-file", Severity: Error, Title: "Key in a build file", check: keyInFile,
		Fix: "Revoke the key, remove it, and hand it over as a build secret.",
	},
	{
		ID: "key-in-context", Severity: Warning, Title: "Private key copied into the image", check: keyInContext,
		Fix: "Name it in .dockerignore, and use RUN --mount=type=secret or type=ssh where it is needed.",
	},
	{
		ID: "git-in-context", Severity: Warning, Title: "Git history copied with the project", check: gitInContext,
		Fix: "Name .git in .dockerignore: it changes with every commit, so nothing after this step is ever cached.",
	},
	{
		ID: "missing-dockerignore", Severity: Warning, Title: "Large context without a .dockerignore", check: missingDockerignore,
		Fix: "Name in .dockerignore what the image does not need.",
	},
	{
		ID: "context-too-wide", Severity: Warning, Title: "Context that is no project", check: contextTooWide,
		Fix: "Name the directory of the project.",
	},
	{
		ID: "apt-update-alone", Severity: Warning, Title: "Package lists that grow old", check: aptUpdateAlone,
		Fix: "Update and install in one RUN: the cached lists will name packages that are gone.",
	},
	{
		ID: "apt-lists-kept", Severity: Info, Title: "Package lists left in the image", check: aptListsKept,
		Fix: "End the RUN with rm -rf /var/lib/apt/lists/*, or mount a cache there.",
	},
	{
		ID: "sudo-in-run", Severity: Warning, Title: "sudo in a build", check: sudoInRun,
		Fix: "Steps run as root until USER says otherwise: remove sudo, or put USER root before the step.",
	},
	{
		ID: "unchecked-download", Severity: Warning, Title: "Download without a checksum", check: uncheckedDownload,
		Fix: "Say what it must be: ADD --checksum=sha256:...",
	},
	{
		ID: "root-user", Severity: Info, Off: true, Title: "Program that runs as root", check: rootUser,
		Fix: "Name a user without privileges with USER in the last stage.",
	},
	{
		ID: "ssh-port", Severity: Warning, Title: "ssh server in an image", check: sshPort,
		Fix: "Use docker exec or kubectl exec, and remove the server.",
	},
	{
		ID: "host-network", Severity: Warning, Title: "Network of the host", check: hostNetwork,
		Fix: "Leave network out: the step sees all that listens on the build machine.",
	},
	{
		ID: "unused-context", Severity: Warning, Title: "Context that nothing reads", check: unusedContext,
		Fix: "Remove it, or correct the name where it is meant: FROM, COPY --from or RUN --mount=from.",
	},
	{
		ID: "unused-arg", Severity: Warning, Title: "Argument that nothing reads", check: unusedArg,
		Fix: "Remove it, or declare it with ARG in the Dockerfile.",
	},
	{
		ID: "duplicate-tag", Severity: Error, Title: "Tag of several targets", all: duplicateTag,
		Fix: "Give each its own: which image the tag will be is chance.",
	},
	{
		ID: "shared-cache", Severity: Warning, Title: "Cache that several targets write", all: sharedCache,
		Fix: "Give each its own ref: the last one wins, and the layers of the others are lost.",
	},
}

// Rules lists the rules, in the order of the documentation.
func Rules() []*Rule { return rules }

func ruleNamed(id string) *Rule {
	for _, r := range rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Known lists all ids that can be silenced.
func Known() []string {
	ids := []string{configWarning, unresolvedBase}
	for _, r := range rules {
		ids = append(ids, r.ID)
	}
	return append(ids, buildkitRules...)
}

// buildkitRules are the checks of BuildKit.
var buildkitRules = strings.Fields(`
	ConsistentInstructionCasing CopyIgnoredFile DuplicateStageName ExposeInvalidFormat ExposeProtoCasing
	FromAsCasing FromPlatformFlagConstDisallowed InvalidBaseImagePlatform InvalidDefaultArgInFrom
	InvalidDefinitionDescription JSONArgsRecommended LegacyKeyValueFormat MaintainerDeprecated
	MultipleInstructionsDisallowed NoEmptyContinuation RedundantTargetPlatform ReservedStageName
	SecretsUsedInArgOrEnv StageNameCasing UndefinedArgInFrom UndefinedVar WorkdirRelativePath`)
