package config

import (
	"maps"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// A FunctionInfo describes a function of the language.
type FunctionInfo struct {
	Name        string
	Signature   string // as in "join(separator string, lists ...list of string)"
	Description string
	Example     string // an expression
	Value       string // of the example, as JSON
}

// Functions describes all built-in functions by name.
func Functions() []FunctionInfo {
	all := maps.Clone(standardFunctions())
	for name, f := range ownFunctions(&world{checkout: &checkout{}}) {
		if refusals[name] == "" {
			all[name] = f
		}
	}
	var out []FunctionInfo
	for _, name := range sortedKeys(all) {
		help := functionHelp[name]
		info := FunctionInfo{name, signature(name, all[name]), help.text, help.example, help.value}
		if info.Description == "" {
			info.Description = all[name].Description()
		}
		if why := refusals[name]; why != "" {
			info.Description += " Only in bake's files: " + why + "."
		}
		out = append(out, info)
	}
	return out
}

func signature(name string, f function.Function) string {
	var params []string
	for _, p := range f.Params() {
		params = append(params, p.Name+" "+typeName(p.Type))
	}
	if v := f.VarParam(); v != nil {
		params = append(params, v.Name+" ..."+typeName(v.Type))
	}
	return name + "(" + strings.Join(params, ", ") + ")"
}

// typeName is the type as people say it.
func typeName(t cty.Type) string {
	name := strings.ReplaceAll(t.FriendlyName(), "dynamic", "any")
	return strings.TrimSuffix(name, " closure")
}

// A functionText is what a function's own description does not say.
type functionText struct {
	example, value string
	text           string // "" is the function's own description
}

// functionHelp has an example for every function. The value is JSON.
var functionHelp = map[string]functionText{
	"abs":                    {`abs(-3)`, `3`, ""},
	"absolute":               {`absolute(-3)`, `3`, ""},
	"add":                    {`add(1, 2)`, `3`, ""},
	"alltrue":                {`alltrue([true, false])`, `false`, ""},
	"anytrue":                {`anytrue([true, false])`, `true`, ""},
	"endswith":               {`endswith("api.go", ".go")`, `true`, ""},
	"env":                    {`can(env("HOME"))`, `false`, ""},
	"file":                   {`file("VERSION")`, `"1.4.0\n"`, ""},
	"filebase64":             {`filebase64("VERSION")`, `"MS40LjAK"`, ""},
	"fileexists":             {`fileexists("VERSION")`, `true`, ""},
	"fileset":                {`fileset("services", "*/Dockerfile")`, `["api/Dockerfile","web/Dockerfile"]`, ""},
	"matchkeys":              {`matchkeys(["a", "b", "c"], ["x", "y", "x"], ["x"])`, `["a","c"]`, ""},
	"one":                    {`one(["a"])`, `"a"`, ""},
	"startswith":             {`startswith("v1.2", "v")`, `true`, ""},
	"strcontains":            {`strcontains("linux/arm64", "arm")`, `true`, ""},
	"sum":                    {`sum([1, 2, 3])`, `6`, ""},
	"templatefile":           {`templatefile("motd.tmpl", { name = "api" })`, `"hello api\n"`, ""},
	"tobool":                 {`tobool("true")`, `true`, "Converts a value to a bool."},
	"tolist":                 {`tolist(["a", 1])`, `["a","1"]`, "Converts a value to a list."},
	"tomap":                  {`tomap({ a = 1, b = "x" })`, `{"a":"1","b":"x"}`, "Converts a value to a map."},
	"tonumber":               {`tonumber("5")`, `5`, "Converts a value to a number."},
	"toset":                  {`toset(["b", "a", "b"])`, `["a","b"]`, "Converts a value to a set: each element once, sorted."},
	"tostring":               {`tostring(5)`, `"5"`, "Converts a value to text."},
	"transpose":              {`transpose({ a = ["x", "y"], b = ["x"] })`, `{"x":["a","b"],"y":["a"]}`, ""},
	"yamldecode":             {`yamldecode("a: [1, x]").a[1]`, `"x"`, ""},
	"yamlencode":             {`yamlencode({ a = ["x", "1"] })`, `"\"a\":\n  - \"x\"\n  - \"1\"\n"`, ""},
	"and":                    {`and(true, false)`, `false`, ""},
	"base64decode":           {`base64decode("aGk=")`, `"hi"`, "Decodes base64."},
	"base64encode":           {`base64encode("hi")`, `"aGk="`, "Encodes in base64."},
	"basename":               {`basename("services/api")`, `"api"`, ""},
	"bcrypt":                 {`substr(bcrypt("x", 4), 0, 7)`, `"$2a$04$"`, "Hashes a password with a random salt. The cost is 10 if not given."},
	"byteslen":               {`can(byteslen("x"))`, `false`, "Returns the length of a buffer. Nothing in this language makes a buffer; strlen is for text."},
	"bytesslice":             {`can(bytesslice("x", 0, 1))`, `false`, "Takes a part of a buffer. Nothing in this language makes a buffer; substr is for text."},
	"can":                    {`can(parseint("x", 10))`, `false`, "Says whether the expression can be evaluated."},
	"ceil":                   {`ceil(1.2)`, `2`, ""},
	"chomp":                  {`chomp("a\n")`, `"a"`, ""},
	"chunklist":              {`chunklist(["a", "b", "c"], 2)`, `[["a","b"],["c"]]`, ""},
	"cidrhost":               {`cidrhost("10.1.0.0/16", 5)`, `"10.1.0.5"`, "Returns an address in a network."},
	"cidrnetmask":            {`cidrnetmask("10.1.0.0/16")`, `"255.255.0.0"`, "Returns the mask of a network."},
	"cidrsubnet":             {`cidrsubnet("10.1.0.0/16", 8, 2)`, `"10.1.2.0/24"`, "Returns one of the networks in a network."},
	"cidrsubnets":            {`cidrsubnets("10.1.0.0/16", 8, 8)`, `["10.1.0.0/24","10.1.1.0/24"]`, "Returns the first networks in a network."},
	"coalesce":               {`coalesce(null, "a")`, `"a"`, ""},
	"coalescelist":           {`coalescelist([], ["a"])`, `["a"]`, ""},
	"compact":                {`compact(["a", "", "b"])`, `["a","b"]`, ""},
	"concat":                 {`concat(["a"], ["b"])`, `["a","b"]`, ""},
	"contains":               {`contains(["a", "b"], "a")`, `true`, ""},
	"convert":                {`convert("5", number)`, `5`, "Converts a value to a type."},
	"csvdecode":              {`csvdecode("a,b\n1,2\n")`, `[{"a":"1","b":"2"}]`, ""},
	"dirname":                {`dirname("services/api")`, `"services"`, ""},
	"distinct":               {`distinct(["a", "b", "a"])`, `["a","b"]`, ""},
	"divide":                 {`divide(6, 4)`, `1.5`, ""},
	"element":                {`element(["a", "b"], 3)`, `"b"`, ""},
	"equal":                  {`equal("a", "a")`, `true`, ""},
	"flatten":                {`flatten([["a"], ["b", ["c"]]])`, `["a","b","c"]`, ""},
	"floor":                  {`floor(1.8)`, `1`, ""},
	"format":                 {`format("%s:%03d", "app", 7)`, `"app:007"`, "Makes text of values as C's printf does."},
	"formatdate":             {`formatdate("YYYY-MM-DD", "2024-05-06T07:08:09Z")`, `"2024-05-06"`, "Formats a time given in RFC 3339. Use formattimestamp, which takes numbers too."},
	"formatlist":             {`formatlist("%s:v1", ["api", "web"])`, `["api:v1","web:v1"]`, "Makes a list of texts as C's printf does."},
	"formattimestamp":        {`formattimestamp("YYYY-MM-DD", 0)`, `"1970-01-01"`, ""},
	"greaterthan":            {`greaterthan(2, 1)`, `true`, "Says whether the first number is greater than the second."},
	"greaterthanorequalto":   {`greaterthanorequalto(1, 1)`, `true`, "Says whether the first number is greater than the second, or equal."},
	"hasindex":               {`hasindex(["a"], 1)`, `false`, ""},
	"homedir":                {`can(homedir())`, `true`, ""},
	"indent":                 {`indent(2, "a\nb")`, `"a\n  b"`, ""},
	"index":                  {`index(["a", "b"], 1)`, `"b"`, ""},
	"indexof":                {`indexof(["a", "b"], "b")`, `1`, ""},
	"int":                    {`int(1.8)`, `1`, ""},
	"join":                   {`join("-", ["a", "b"])`, `"a-b"`, ""},
	"jsondecode":             {`jsondecode("{\"a\": 1}").a`, `1`, ""},
	"jsonencode":             {`jsonencode(["a"])`, `"[\"a\"]"`, ""},
	"keys":                   {`keys({ b = 1, a = 2 })`, `["a","b"]`, ""},
	"length":                 {`length(["a", "b"])`, `2`, ""},
	"lessthan":               {`lessthan(1, 2)`, `true`, "Says whether the first number is less than the second."},
	"lessthanorequalto":      {`lessthanorequalto(1, 1)`, `true`, "Says whether the first number is less than the second, or equal."},
	"log":                    {`log(16, 2)`, `4`, ""},
	"lookup":                 {`lookup({ a = "x" }, "b", "none")`, `"none"`, ""},
	"lower":                  {`lower("API")`, `"api"`, ""},
	"max":                    {`max(1, 3, 2)`, `3`, ""},
	"md5":                    {`md5("x")`, `"9dd4e461268c8034f5c8564e155c67a6"`, "Returns the MD5 sum of text in hexadecimal."},
	"merge":                  {`merge({ a = "1" }, { b = "2" })`, `{"a":"1","b":"2"}`, ""},
	"min":                    {`min(3, 1, 2)`, `1`, ""},
	"modulo":                 {`modulo(7, 4)`, `3`, ""},
	"multiply":               {`multiply(2, 3)`, `6`, ""},
	"negate":                 {`negate(2)`, `-2`, ""},
	"not":                    {`not(true)`, `false`, ""},
	"notequal":               {`notequal("a", "b")`, `true`, ""},
	"or":                     {`or(true, false)`, `true`, ""},
	"parseint":               {`parseint("ff", 16)`, `255`, ""},
	"pow":                    {`pow(2, 8)`, `256`, ""},
	"range":                  {`range(3)`, `[0,1,2]`, ""},
	"regex":                  {`regex("[0-9]+", "v12")`, `"12"`, ""},
	"regex_replace":          {`regex_replace("v1.2", "[.]", "-")`, `"v1-2"`, ""},
	"regexall":               {`regexall("[0-9]", "v12")`, `["1","2"]`, ""},
	"replace":                {`replace("a/b", "/", "-")`, `"a-b"`, ""},
	"reverse":                {`reverse("abc")`, `"cba"`, ""},
	"reverselist":            {`reverselist(["a", "b"])`, `["b","a"]`, ""},
	"rsadecrypt":             {`can(rsadecrypt("eA==", "no key"))`, `false`, "Decrypts base64 text with an RSA key in PEM form."},
	"sanitize":               {`sanitize("feature/x.y")`, `"feature_x_y"`, ""},
	"semvercmp":              {`semvercmp("1.4.0", "^1.2")`, `true`, ""},
	"sethaselement":          {`sethaselement(["a"], "a")`, `true`, ""},
	"setintersection":        {`setintersection(["a", "b"], ["b"])`, `["b"]`, ""},
	"setproduct":             {`setproduct(["a"], ["x", "y"])`, `[["a","x"],["a","y"]]`, ""},
	"setsubtract":            {`setsubtract(["a", "b"], ["b"])`, `["a"]`, ""},
	"setsymmetricdifference": {`setsymmetricdifference(["a", "b"], ["b", "c"])`, `["a","c"]`, ""},
	"setunion":               {`setunion(["a"], ["b"])`, `["a","b"]`, ""},
	"sha1":                   {`sha1("x")`, `"11f6ad8ec52a2984abaafd7c3b516503785c2072"`, "Returns the SHA-1 sum of text in hexadecimal."},
	"sha256":                 {`substr(sha256("x"), 0, 12)`, `"2d711642b726"`, "Returns the SHA-256 sum of text in hexadecimal."},
	"sha512":                 {`substr(sha512("x"), 0, 12)`, `"a4abd4448c49"`, "Returns the SHA-512 sum of text in hexadecimal."},
	"signum":                 {`signum(-5)`, `-1`, ""},
	"slice":                  {`slice(["a", "b", "c"], 1, 3)`, `["b","c"]`, ""},
	"sort":                   {`sort(["b", "a"])`, `["a","b"]`, ""},
	"split":                  {`split(",", "a,b")`, `["a","b"]`, ""},
	"strlen":                 {`strlen("abc")`, `3`, ""},
	"substr":                 {`substr("abcdef", 1, 2)`, `"bc"`, ""},
	"subtract":               {`subtract(3, 1)`, `2`, ""},
	"timeadd":                {`timeadd("2024-05-06T07:08:09Z", "1h")`, `"2024-05-06T08:08:09Z"`, ""},
	"timestamp":              {`strlen(timestamp())`, `20`, ""},
	"title":                  {`title("hello world")`, `"Hello World"`, ""},
	"trim":                   {`trim("--a--", "-")`, `"a"`, ""},
	"trimprefix":             {`trimprefix("v1.2", "v")`, `"1.2"`, ""},
	"trimspace":              {`trimspace(" a\n")`, `"a"`, ""},
	"trimsuffix":             {`trimsuffix("a.hcl", ".hcl")`, `"a"`, ""},
	"try":                    {`try(parseint("x", 10), 0)`, `0`, "Returns the first of the expressions that can be evaluated."},
	"unixtimestampparse":     {`unixtimestampparse(0).year`, `1970`, ""},
	"upper":                  {`upper("api")`, `"API"`, ""},
	"urlencode":              {`urlencode("a b/c")`, `"a+b%2Fc"`, "Escapes text for the query of a URL."},
	"uuidv4":                 {`strlen(uuidv4())`, `36`, "Returns a random UUID."},
	"uuidv5":                 {`uuidv5("dns", "x")`, `"05b16a01-46c6-56dd-bd6e-c6dfb4a1427a"`, "Returns the UUID of a name in a namespace: dns, url, oid, x500 or a UUID."},
	"values":                 {`values({ b = 1, a = 2 })`, `[2,1]`, ""},
	"zipmap":                 {`zipmap(["a", "b"], ["1", "2"])`, `{"a":"1","b":"2"}`, ""},
}
