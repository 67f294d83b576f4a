using System.Globalization;
using System.Text;

namespace Tandem.Bench.Work;

/// <summary>Records to parse, the same ones everywhere and always: one JSON array, about 167 bytes a record, now and then an escape or a letter beyond ASCII.</summary>
static class RecordFile
{
    static readonly string[] Names = ["Ada Lovelace", "Grace Hopper", "Jürgen Moser", "Edsger Dijkstra", "Emmy \\\"E\\\" Noether", "Srinivasa Rāmānujan", "Alan Turing", "Sofja Kowalewskaja"];
    static readonly string[] Tags = ["alpha", "beta", "gamma", "delta", "epsilon"];

    /// <summary>Writes the file unless it is there.</summary>
    public static void Write(string path, int count)
    {
        if (File.Exists(path))
            return;
        var part = path + ".part";
        using (var writer = new StreamWriter(part, append: false, new UTF8Encoding(false), 1 << 20))
        {
            // A multiplicative generator (Lehmer's, 16807 mod 2^31 − 1): the same numbers on every machine.
            var seed = 42L;
            int Next(int below) => (int)((seed = seed * 16807 % 2147483647) % below);
            for (var i = 1; i <= count; i++)
            {
                var tags = string.Join(",", Enumerable.Range(0, 1 + Next(3)).Select(_ => $"\"{Tags[Next(Tags.Length)]}\""));
                var time = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(Next(31_536_000));
                writer.Write(i == 1 ? "[\n" : ",\n");
                writer.Write(string.Create(CultureInfo.InvariantCulture,
                    $"{{\"id\":{i},\"email\":\"user{i}@example.com\",\"name\":\"{Names[Next(Names.Length)]}\",\"created_at\":\"{time:yyyy-MM-ddTHH:mm:ssZ}\",\"is_active\":{(Next(4) > 0 ? "true" : "false")},\"score\":0.{1 + Next(999_999):000000},\"tags\":[{tags}]}}"));
            }

            writer.Write("\n]\n");
        }

        File.Move(part, path);
    }
}
