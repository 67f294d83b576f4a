using Microsoft.AspNetCore.Builder;

namespace Tandem.Tests.Core;

public sealed class TimeoutTests
{
    [Fact]
    public async Task A_request_that_takes_too_long_is_told_so()
    {
        await using var app = await TestApp.StartAsync(a => a.MapGet("/slow", (CancellationToken ct) => Task.Delay(Timeout.Infinite, ct)).AllowAnonymous(), null,
            "--Http:RequestTimeout", "00:00:01");
        using var response = await app.Http.GetAsync("/slow", TestContext.Current.CancellationToken);
        await response.ShouldBeProblemAsync(504, "http/took-too-long");
    }
}
