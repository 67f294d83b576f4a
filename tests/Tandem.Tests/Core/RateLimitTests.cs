using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Http;

namespace Tandem.Tests.Core;

public sealed class RateLimitTests
{
    static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    [Fact]
    public void A_full_allowance_lets_the_limit_through_and_refills_evenly()
    {
        var clock = new FakeTimeProvider();
        var limits = new RateLimits(clock);
        for (var i = 0; i < 6; i++)
            Assert.True(limits.Take("rule", "ada", 6, Minute).Allowed);

        Assert.False(limits.Take("rule", "ada", 6, Minute).Allowed);
        Assert.True(limits.Take("rule", "bob", 6, Minute).Allowed);
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.True(limits.Take("rule", "ada", 6, Minute).Allowed);
        Assert.False(limits.Take("rule", "ada", 6, Minute).Allowed);
    }

    [Fact]
    public void What_is_given_back_can_be_taken_again_and_no_more()
    {
        var limits = new RateLimits(new FakeTimeProvider());
        for (var i = 0; i < 3; i++)
            limits.Take("rule", "ada", 3, Minute);

        limits.GiveBack("rule", "ada", 3, Minute);

        Assert.True(limits.Take("rule", "ada", 3, Minute).Allowed);
        Assert.False(limits.Take("rule", "ada", 3, Minute).Allowed);
        limits.GiveBack("rule", "nobody", 3, Minute);
        for (var i = 0; i < 3; i++)
            Assert.True(limits.Take("rule", "nobody", 3, Minute).Allowed);
        Assert.False(limits.Take("rule", "nobody", 3, Minute).Allowed);
    }
}
