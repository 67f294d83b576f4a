using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tandem.Bench.Work;

sealed class JsonRecord
{
    public long Id { get; set; }
    public string Email { get; set; } = "";
    public string Name { get; set; } = "";
    public string CreatedAt { get; set; } = "";
    public bool IsActive { get; set; }
    public double Score { get; set; }
    public string[] Tags { get; set; } = [];
}

[JsonSerializable(typeof(List<JsonRecord>))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
sealed partial class RecordContracts : JsonSerializerContext;

/// <summary>Parses the file into typed records and keeps them, with System.Text.Json and a generated contract.</summary>
sealed class JsonWork
{
    List<JsonRecord> _kept = [];

    public string Phase(string[] words)
    {
        if (words[0] == "parse")
        {
            _kept = JsonSerializer.Deserialize(File.ReadAllBytes(words[1]), RecordContracts.Default.ListJsonRecord) ?? [];
            return $"{_kept.Count}";
        }

        return Check(_kept);
    }

    /// <summary>What all have to agree on. Characters as Python and Go count them: code points, not UTF-16 units.</summary>
    public static string Check(List<JsonRecord> kept) =>
        $"{kept.Count} {kept.Sum(r => r.Id)} {kept.Sum(r => r.Name.EnumerateRunes().Count())} {kept.Sum(r => r.Tags.Length)}";
}
