using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Users.OpenId;

namespace Tandem.Users.Tokens;

static class TokenEndpoints
{
    public static void MapTokens(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/token", (HttpContext context, FrequentRequests frequent) => frequent.TokenAsync(context)).AllowAnonymous().WithTags("Tokens")
            .WithSummary("Sign in with e-mail and password, a mailed code or link, or a second step; or exchange a refresh token")
            .Produces<TokenView>()
            .Answers(UserProblems.InvalidGrant, UserProblems.InvalidRefreshToken, UserProblems.InvalidTokenRequest, UserProblems.InvalidClient,
                UserProblems.WrongCode, UserProblems.LinkInvalid, ClientProblems.InvalidCode, ClientProblems.InvalidDeviceCode, ClientProblems.DevicePending, ClientProblems.DeviceTooFast, ClientProblems.DeviceDenied,
                ClientProblems.DeviceCodeExpired, ClientProblems.InvalidSubjectToken, ClientProblems.ScopeNotInToken, UserProblems.SecondStepWanted, UserProblems.EmailNotVerified, UserProblems.FormWanted, HttpProblems.TooManyRequests, UserProblems.Busy);

        var wellKnown = routes.MapGroup("/.well-known").AllowAnonymous().WithTags("Tokens");
        wellKnown.MapGet("openid-configuration", (HttpContext context, TokenServer server) => server.AnswerAsync(context)).WithSummary("What the token endpoint can do (RFC 8414)");
        wellKnown.MapGet("jwks", (HttpContext context, TokenServer server) => server.AnswerAsync(context)).WithSummary("The public keys that access tokens are signed with (RFC 7517)");
    }
}

/// <summary>The answer of POST /token.</summary>
/// <param name="AccessToken">Goes into Authorization: Bearer.</param>
/// <param name="TokenType">Always "bearer".</param>
/// <param name="ExpiresIn">Seconds until the access token is worth nothing.</param>
/// <param name="RefreshToken">Exchanged once for the next pair, by grant_type=refresh_token.</param>
public sealed record TokenView(string AccessToken, string TokenType, int ExpiresIn, string RefreshToken);
