using System.ComponentModel.DataAnnotations;
using Tandem.Core.Configuration;

namespace Tandem.Postgres;

/// <summary>Settings of PostgreSQL, section <c>Postgres</c>.</summary>
public sealed class PostgresOptions
{
    /// <summary>
    /// Where it is: <c>Host=db;Database=tandem;Username=tandem;Password=…</c> (Npgsql's keys), or empty to stay on SQLite. The account needs to own the
    /// database, nothing more. Through a pooler it needs session pooling: locks and notifications belong to a session.
    /// </summary>
    public string? ConnectionString { get; set; }

    /// <summary>How many connections this process opens at most, besides two of its own. Default 40; 2 to 1000.</summary>
    [Range(2, 1000)]
    public int MaxPoolSize { get; set; } = 40;

    /// <summary>
    /// How long one statement may take before the server ends it. Default 8 seconds; 1 second to 1 hour. A server that has fallen silent is waited for
    /// twelve seconds longer at most.
    /// </summary>
    [TimeRange("00:00:01", "01:00:00")]
    public TimeSpan StatementTimeout { get; set; } = TimeSpan.FromSeconds(8);

    /// <summary>How long a request waits for a free connection or for the server to accept one. Default 5 seconds; 1 second to 1 minute.</summary>
    [TimeRange("00:00:01", "00:01:00")]
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a starting process waits for a server that does not answer yet. Default 1 minute; 0 to 1 hour.</summary>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromMinutes(1);
}
