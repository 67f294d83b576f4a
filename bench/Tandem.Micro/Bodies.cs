using System.Text;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using Tandem.Core.Http;
using Tandem.Core.Ingest;
using Tandem.Users;

namespace Tandem.Micro;

/// <summary>JSON on its way in: a sign-up's small body, and a file of many records.</summary>
public class Bodies
{
    const int Records = 10_000;

    static readonly byte[] Good = """{"email":"ada@example.com","name":"Ada","password":"correct-horse"}"""u8.ToArray();
    static readonly byte[] Bad = """{"email":"nobody","name":7}"""u8.ToArray();

    readonly NewUser _user = new("ada@example.com", "Ada", "correct-horse");
    readonly MemoryStream _records = new(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(
        Enumerable.Range(0, Records).Select(i => new Reading(i, $"sensor-{i % 100}", i / 8.0, i % 3 == 0)), Json.Options)));

    [Benchmark(Description = "a body read into its record (System.Text.Json)")]
    public NewUser? Read() => JsonSerializer.Deserialize<NewUser>(Good, Json.Options);

    [Benchmark(Description = "a record checked against its annotations")]
    public int Validate() => JsonFaults.FindInvalid(_user).Count;

    [Benchmark(Description = "every fault of a bad body")]
    public int Faults() => JsonFaults.Find(Bad, typeof(NewUser)).Count;

    [Benchmark(Description = "one of 10,000 JSON records", OperationsPerInvoke = Records)]
    public async Task<long> Ingest()
    {
        _records.Position = 0;
        var sum = 0L;
        await foreach (var record in JsonRecords.ReadAsync<Reading>(_records))
            sum += record.Id;
        return sum;
    }

    sealed record Reading(long Id, string Sensor, double Value, bool IsValid);
}
