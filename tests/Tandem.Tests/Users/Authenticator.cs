using System.Net.Http.Json;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.SecondSteps;

namespace Tandem.Tests.Users;

/// <summary>Somebody's authenticator app.</summary>
sealed class Authenticator(string base32, TimeProvider clock)
{
    public string[] RecoveryCodes { get; private set; } = [];

    /// <summary>Its own reading of the secret, not the program's.</summary>
    public byte[] Secret { get; } = Decode(base32);

    public string Code => Totp.CodeAt(Secret, Totp.StepAt(clock.GetUtcNow().UtcDateTime));

    /// <summary>Switches the second step on. On a clock of the test's the app shows another code by then.</summary>
    public static async Task<Authenticator> SetUpAsync(Person person, TimeProvider clock)
    {
        var ct = TestContext.Current.CancellationToken;
        var setup = await (await person.Http.PostAsync("/auth/totp", null, ct)).JsonAsync();
        var app = new Authenticator(setup.GetProperty("secret").GetString()!, clock);
        app.RecoveryCodes = [.. (await (await person.Http.PostAsJsonAsync("/auth/totp/confirmation", new { code = app.Code }, ct)).JsonAsync()).GetProperty("codes").EnumerateArray().Select(c => c.GetString()!)];
        (clock as FakeTimeProvider)?.Advance(TimeSpan.FromSeconds(30));
        return app;
    }

    static byte[] Decode(string text)
    {
        var bits = string.Concat(text.Select(c => Convert.ToString("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".IndexOf(c), 2).PadLeft(5, '0')));
        return [.. Enumerable.Range(0, bits.Length / 8).Select(i => Convert.ToByte(bits.Substring(i * 8, 8), 2))];
    }
}
