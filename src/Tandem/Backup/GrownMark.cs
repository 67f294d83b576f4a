using System.Globalization;
using System.Text.Json;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Backup;

/// <summary>Says of a data directory that its rows live on a server now: a start on it would go on with what was left behind.</summary>
static class GrownMark
{
    public static void Set(DataDirectory data, string to, DateTime now) =>
        File.WriteAllText(PathIn(data.Path), JsonSerializer.Serialize(new Mark(to, now), Json.Options));

    public static bool Has(string data) => File.Exists(PathIn(data));

    public static void Remove(string data) => File.Delete(PathIn(data));

    /// <exception cref="ConfigurationException">The directory has the mark.</exception>
    public static void Refuse(string data)
    {
        if (!Has(data))
            return;
        var mark = JsonSerializer.Deserialize<Mark>(File.ReadAllText(PathIn(data)), Json.Stored) ?? new Mark("a server", default);
        throw new ConfigurationException(string.Create(CultureInfo.InvariantCulture, $"""
            What {data} held was moved to {mark.To} on {mark.At:yyyy-MM-dd HH:mm} UTC, and this start would go on with what was left behind. Set Postgres:ConnectionString (--postgres), bring it back with "tandem grow --to-embedded", or delete {PathIn(data)} to use the old rows all the same.
            """));
    }

    static string PathIn(string data) => Path.Combine(data, "grown.json");

    sealed record Mark(string To, DateTime At);
}
