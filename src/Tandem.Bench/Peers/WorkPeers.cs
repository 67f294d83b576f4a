namespace Tandem.Bench.Peers;

/// <summary>Programs that compute something when they are told a line: see Sources/lines.py.</summary>
static class WorkPeers
{
    const string Go = "GO111MODULE=off GOFLAGS=-buildvcs=false go build -o";

    public const string Ahead = "{ahead}";

    static Peer Here(string name, string title, string work) => new(name, title, $"{{tandem}} bench child work {work}");

    static Peer AheadOfTime(string name, string title, string work) => new(name, title, $"{Ahead} {work}");

    static Peer Python(string name, string title, string source, params string[] packages) => new(name, title, $"python3 {source}.py", ["python3", .. packages]);

    static Peer GoProgram(string name, string title, string source) =>
        new(name, title, $"./{source}-go", "golang-go") { Build = $"{Go} {source}-go {source}.go lines.go" };

    public static IReadOnlyList<Peer> Json { get; } =
    [
        Here(Peer.Tandem, "Tandem (JsonRecords)", "ingest"),
        Here("csharp", "C# System.Text.Json, generated", "json"),
        AheadOfTime("csharp-aot", "the same by Native AOT", "json"),
        Python("python", "Python json", "json_std"),
        Python("orjson", "Python orjson", "json_orjson", "python3-orjson"),
        GoProgram("go", "Go encoding/json", "json"),
        new("simdjson", "simdjson into C++ records", "./json-simdjson", "g++", "libsimdjson-dev") { Build = "g++ -O2 -std=c++20 -o json-simdjson json_simdjson.cpp -lsimdjson", IsLimit = true },
        new("byte-sum", "adding up the bytes in C", "./json-bytes", "gcc") { Build = "gcc -O2 -o json-bytes json_bytes.c", IsLimit = true },
    ];

    public static IReadOnlyList<Peer> Fib { get; } =
    [
        Here("csharp", "C#, JIT", "fib"),
        AheadOfTime("csharp-aot", "C#, by Native AOT", "fib"),
        Python("python", "Python", "fib"),
        new("cython", "Python + Cython (cdef)", "python3 fib_cython_main.py", "python3", "cython3") { Build = "cython3 -3 fib_cython.pyx && gcc -O2 -shared -fPIC $(python3-config --includes) -o fib_cython.so fib_cython.c" },
        GoProgram("go", "Go", "fib"),
        new("gcc", "C, gcc -O2", "./fib-c", "gcc") { Build = "gcc -O2 -o fib-c fib.c" },
    ];

    public static IReadOnlyList<Peer> Points { get; } =
    [
        Here("csharp", "C# array of structs", "points-struct"),
        Here("csharp-class", "C# array of objects", "points-class"),
        Python("python-dataclass", "Python list of dataclasses", "points_dataclass"),
        Python("python-slots", "Python list of dataclasses with slots", "points_slots"),
        GoProgram("go", "Go slice of structs", "points"),
    ];

    public static IReadOnlyList<Peer> Tasks { get; } =
    [
        Here("csharp", "C# async methods", "tasks"),
        Python("asyncio", "Python asyncio tasks", "tasks"),
        GoProgram("goroutine", "Go goroutines", "tasks"),
    ];
}
