namespace Tandem.Tests;

/// <summary>Waits for a state that is reached in the background.</summary>
static class Eventually
{
    public static async Task TrueAsync(Func<Task<bool>> condition, int seconds = 90)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(seconds));
        while (!await condition())
            await Task.Delay(10, limit.Token);
    }
}
