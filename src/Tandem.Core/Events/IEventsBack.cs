namespace Tandem.Core.Events;

/// <summary>Takes events that an adapter sent on to another log back into the database's own, while nothing serves.</summary>
interface IEventsBack
{
    /// <summary>
    /// Makes consumers' positions those of the database's log, in one transaction: what each has done stays done, and what it has not done comes in
    /// the order of its key. The other log is not asked; it may be gone.
    /// </summary>
    /// <returns>How many events that a consumer had left out wait for it now; null when events do not go through another log.</returns>
    Task<int?> TakeBackAsync(CancellationToken ct);
}
