using OpenIddict.Abstractions;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace Tandem.Users.Upstream;

/// <summary>What a client's request wants of the sign-in, and a provider is told of it (OpenID Connect Core, 3.1.2.1).</summary>
/// <param name="Prompt">login, select_account, both, or null.</param>
/// <param name="MaxAge">Seconds since the person has shown who he is, 0 or more; null: whenever that was.</param>
/// <param name="LoginHint">As the client wrote it.</param>
/// <param name="UiLocales">As the client wrote it.</param>
sealed record Demand(string? Prompt, int? MaxAge, string? LoginHint, string? UiLocales)
{
    public static readonly Demand None = new(null, null, null, null);

    public static Demand Of(OpenIddictRequest request)
    {
        string[] prompts = [.. new[] { PromptValues.Login, PromptValues.SelectAccount }.Where(request.HasPromptValue)];
        return new(prompts.Length == 0 ? null : string.Join(' ', prompts), request.MaxAge is { } seconds ? (int)Math.Clamp(seconds, 0, int.MaxValue) : null, request.LoginHint, request.UiLocales);
    }

    /// <returns>The sign-in must not be from before that; null: it may.</returns>
    public DateTime? FreshSince(DateTime now) => Prompt?.Contains(PromptValues.Login, StringComparison.Ordinal) == true ? now : MaxAge is { } seconds ? now.AddSeconds(-seconds) : null;
}
