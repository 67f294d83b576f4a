namespace Tandem.Core;

/// <summary>Time as Tandem stores it.</summary>
public static class Clock
{
    /// <summary>Now, UTC, cut to microseconds: SQLite would keep seven digits and PostgreSQL keeps six.</summary>
    public static DateTime UtcNow(this TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(clock);
        var now = clock.GetUtcNow().UtcDateTime;
        return new DateTime(now.Ticks - now.Ticks % TimeSpan.TicksPerMicrosecond, DateTimeKind.Utc);
    }
}
