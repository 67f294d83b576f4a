using System.Globalization;

namespace Tandem.Bench.Work;

/// <summary>
/// The C# side of the benchmarks without a server, talked with as the peers are: it says "ready", and answers each line ("fib 40") with "ok" and what it
/// computed. Stands on the framework alone: the same source is also built by itself, ahead of time.
/// </summary>
static class Workloads
{
    public static int Run(string name)
    {
        Func<string[], string>? phase = name switch
        {
            "fib" => words => Fib(int.Parse(words[1], CultureInfo.InvariantCulture)).ToString(CultureInfo.InvariantCulture),
            "json" => new JsonWork().Phase,
            "points-struct" => new PointStructs().Phase,
            "points-class" => new PointClasses().Phase,
            "tasks" => new WaitingTasks().Phase,
            _ => null,
        };
        return phase is null ? 2 : Serve(phase);
    }

    public static int Serve(Func<string[], string> phase)
    {
        Console.WriteLine("ready");
        while (Console.ReadLine() is { } line)
            Console.WriteLine("ok " + phase(line.Split(' ')));
        return 0;
    }

    static long Fib(int n) => n < 2 ? n : Fib(n - 1) + Fib(n - 2);
}

struct PointStruct
{
    public double X, Y, Z;
}

sealed class PointClass
{
    public double X, Y, Z;
}

sealed class PointStructs
{
    PointStruct[] _kept = [];

    public string Phase(string[] words)
    {
        if (words[0] == "make")
        {
            _kept = new PointStruct[int.Parse(words[1], CultureInfo.InvariantCulture)];
            for (var i = 0; i < _kept.Length; i++)
                _kept[i] = new PointStruct { X = i + 0.1, Y = i + 0.2, Z = i + 0.3 };
            return $"{_kept.Length}";
        }

        GC.Collect();
        var sum = 0.0;
        foreach (var p in _kept)
            sum += p.X + p.Y + p.Z;
        return sum.ToString("0", CultureInfo.InvariantCulture);
    }
}

sealed class PointClasses
{
    PointClass[] _kept = [];

    public string Phase(string[] words)
    {
        if (words[0] == "make")
        {
            _kept = new PointClass[int.Parse(words[1], CultureInfo.InvariantCulture)];
            for (var i = 0; i < _kept.Length; i++)
                _kept[i] = new PointClass { X = i + 0.1, Y = i + 0.2, Z = i + 0.3 };
            return $"{_kept.Length}";
        }

        GC.Collect();
        var sum = 0.0;
        foreach (var p in _kept)
            sum += p.X + p.Y + p.Z;
        return sum.ToString("0", CultureInfo.InvariantCulture);
    }
}

/// <summary>Async methods that wait for one gate.</summary>
sealed class WaitingTasks
{
    readonly TaskCompletionSource _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
    Task[] _tasks = [];

    public string Phase(string[] words)
    {
        switch (words[0])
        {
            case "spawn":
                _tasks = new Task[int.Parse(words[1], CultureInfo.InvariantCulture)];
                for (var i = 0; i < _tasks.Length; i++)
                    _tasks[i] = WaitAsync(_gate.Task);
                break;
            case "settle":
                GC.Collect();
                break;
            case "wake":
                _gate.SetResult();
                Task.WaitAll(_tasks);
                break;
        }

        return $"{_tasks.Length}";
    }

    static async Task WaitAsync(Task gate) => await gate;
}
