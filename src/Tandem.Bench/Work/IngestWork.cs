using Tandem.Core.Ingest;

namespace Tandem.Bench.Work;

/// <summary>Parses the file into the same typed records and keeps them, with Tandem's own parser for many records.</summary>
sealed class IngestWork
{
    readonly List<JsonRecord> _kept = [];

    public string Phase(string[] words) => words[0] == "parse" ? ParseAsync(words[1]).GetAwaiter().GetResult() : JsonWork.Check(_kept);

    async Task<string> ParseAsync(string file)
    {
        await using var stream = File.OpenRead(file);
        await foreach (var record in JsonRecords.ReadAsync<JsonRecord>(stream))
            _kept.Add(record);
        return $"{_kept.Count}";
    }
}
