package report

import (
	"context"
	"errors"
	"time"

	"github.com/strata-build/strata/executor"
)

// A build plays a scripted build as events. Its clock is that of the synctest
// bubble it plays in.
type build struct {
	events chan executor.Event
	began  map[string]time.Time
}

// play runs Progress on a script and returns what Progress returns.
func play(ctx context.Context, mode Mode, t Terminal, script func(*build)) error {
	b := &build{events: make(chan executor.Event), began: map[string]time.Time{}}
	go func() {
		defer close(b.events)
		script(b)
	}()
	return Progress(ctx, mode, t, b.events)
}

func (b *build) wait(d time.Duration) { time.Sleep(d) }

func (b *build) run(infos ...executor.TargetInfo) {
	b.events <- executor.RunStarted{Time: time.Now(), Engine: "embedded engine", Targets: infos}
}

func (b *build) start(target string) {
	b.events <- executor.TargetStarted{Time: time.Now(), Target: target}
}

func (b *build) ready(target string) {
	b.events <- executor.TargetReady{Time: time.Now(), Target: target}
}

// step makes the step number of a target; 0 is bookkeeping of the engine.
func (b *build) step(target string, number int, name string) executor.Step {
	if number == 0 {
		return executor.Step{ID: target + name, Name: name, Internal: true}
	}
	return executor.Step{
		ID: target + name, Number: number, Total: 3, Name: name,
		Place: "services/" + target + "/Dockerfile:" + string(rune('0'+number)),
	}
}

// begin says that a step runs, end how it ended.
func (b *build) begin(s executor.Step, targets ...string) {
	now := time.Now()
	b.began[s.ID] = now
	b.events <- executor.StepUpdate{
		Time: now, Targets: targets, Step: s, State: executor.Running, Started: now,
	}
}

func (b *build) end(s executor.Step, state executor.State, text string, targets ...string) {
	b.events <- executor.StepUpdate{
		Time: time.Now(), Targets: targets, Step: s, State: state,
		Started: b.began[s.ID], Completed: time.Now(), Error: text,
	}
}

func (b *build) log(target string, s executor.Step, text string) {
	b.events <- executor.StepLog{Time: time.Now(), Target: target, Step: s, Stream: 1, Data: []byte(text)}
}

func (b *build) move(target string, s executor.Step, current, total int64) {
	b.events <- executor.StepProgress{
		Time: time.Now(), Target: target, Step: s, ID: "layer", Current: current, Total: total,
	}
}

func (b *build) warn(target, place, text, url string) {
	b.events <- executor.Warning{Time: time.Now(), Target: target, Place: place, Text: text, URL: url}
}

func (b *build) done(r executor.TargetResult) {
	b.events <- executor.TargetDone{Time: time.Now(), Target: r.Target, Result: r}
}

func (b *build) finish(d executor.RunDone) { b.events <- d }

const (
	digestA = "sha256:1f0c9a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7"
	digestB = "sha256:77ab2a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7"
)

// shopRun is how the shop build below ends.
func shopRun() executor.RunDone {
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return executor.RunDone{
		Started: began, Time: began.Add(6400 * time.Millisecond),
		Results: []executor.TargetResult{
			{
				Target: "base", State: executor.Cached, Duration: 100 * time.Millisecond,
				Digest: digestA, Size: 4_900_000, Tags: []string{"shop/base:dev"}, Steps: 1,
			},
			{
				Target: "web", State: executor.Built, Duration: 3100 * time.Millisecond,
				Digest: digestB, Size: 31_000_000, Steps: 3, Ran: 2,
				Tags:    []string{"shop/web:dev", "localhost:5000/shop/web:1.2.3"},
				Outputs: []string{"pushed localhost:5000/shop/web:1.2.3", "wrote out/web.tar"},
			},
			{
				Target: "api", State: executor.Failed, Duration: 3 * time.Second, Size: -1,
				Steps: 3, Ran: 2, Err: errors.New("step 2/3: exit status 1"),
				Failure: &executor.Failure{
					Step: executor.Step{
						ID: "apigo build", Number: 2, Total: 3,
						Name: "RUN go build -o /out/api ./cmd/api", Place: "services/api/Dockerfile:9",
					},
					Message: "exit status 1", Ran: 2900 * time.Millisecond,
					Excerpt: []executor.SourceLine{
						{Number: 8, Text: "COPY . ."},
						{Number: 9, Text: "RUN go build -o /out/api \\", Guilty: true},
						{Number: 10, Text: "\t./cmd/api", Guilty: true},
					},
					Log:     []byte("# example.com/cmd/api\r\n./cmd/api/main.go:14:2: undefined: servr\n"),
					Command: "strata build api",
				},
			},
			{Target: "gateway", State: executor.Skipped, Blame: "api", Size: -1},
			{Target: "e2e", State: executor.Skipped, Blame: "api", Size: -1},
		},
	}
}

// shop is a build in which most things happen once.
func shop(b *build) { shopWith(b, func(string) {}) }

// shopWith calls at at the moments it names.
func shopWith(b *build, at func(string)) {
	end := shopRun()
	b.run(executor.TargetInfo{Name: "base", Steps: 1},
		executor.TargetInfo{Name: "web", Needs: []string{"base"}, Steps: 3},
		executor.TargetInfo{Name: "api", Needs: []string{"base"}, Steps: 3},
		executor.TargetInfo{Name: "gateway", Needs: []string{"api"}},
		executor.TargetInfo{Name: "e2e", Needs: []string{"api"}, Steps: 2})
	b.start("base")
	from := b.step("base", 1, "FROM scratch")
	from.Total = 1
	b.end(from, executor.Cached, "", "base", "web", "api")
	b.wait(100 * time.Millisecond)
	b.done(end.Results[0])
	b.start("web")
	b.start("api")
	b.warn("api", "services/api/Dockerfile:3", "'as' and 'FROM' keywords' casing do not match",
		"https://docs.docker.com/go/dockerfile/rule/from-as-casing/")
	at("started")

	load := b.step("web", 0, "load build context")
	b.begin(load, "web")
	b.wait(150 * time.Millisecond)
	b.end(load, executor.Built, "", "web")
	install, compile := b.step("web", 1, "RUN npm ci"), b.step("api", 2, "go build")
	compile.Name = "RUN go build -o /out/api ./cmd/api && echo 日本語のとても長いコマンド"
	b.begin(install, "web")
	b.begin(b.step("web", 0, "pull"), "web")
	b.end(b.step("api", 1, "COPY go.mod ."), executor.Cached, "", "api")
	b.begin(compile, "api")
	for i := range 3 {
		b.wait(300 * time.Millisecond)
		b.log("web", install, []string{"added 1 package\nadded 2", " packages\n", "10%\r50%\r"}[i])
		b.log("api", compile, "# example.com/cmd/api\n")
	}
	b.move("web", install, 12_400_000, 40_100_000)
	at("running")
	b.wait(10 * time.Second)
	b.move("web", install, 40_100_000, 40_100_000)
	b.end(install, executor.Built, "", "web")
	b.begin(b.step("web", 2, "COPY . ."), "web", "api")
	at("shared")
	b.end(b.step("web", 2, "COPY . ."), executor.Built, "", "web", "api")
	b.log("api", compile, "./cmd/api/main.go:14:2: undefined: servr")
	b.end(compile, executor.Failed, "exit status 1", "api")
	for _, r := range end.Results[2:] {
		b.done(r)
	}
	at("failed")
	b.ready("web")
	b.begin(b.step("web", 0, "exporting layers"), "web")
	b.wait(70 * time.Second)
	at("silent")
	b.end(b.step("web", 0, "exporting layers"), executor.Built, "", "web")
	b.done(end.Results[1])
	b.finish(end)
}
