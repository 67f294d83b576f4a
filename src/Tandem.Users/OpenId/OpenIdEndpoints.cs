using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

static class OpenIdEndpoints
{
    static readonly string[] GetAndPost = ["GET", "POST"];

    public static void MapOpenId(this IEndpointRouteBuilder routes)
    {
        var openId = routes.MapGroup("").AllowAnonymous().WithTags("OpenID Connect");
        openId.MapMethods("/authorize", GetAndPost, Answer).WithSummary("Sign a person in for a client: authorization code with PKCE (OAuth 2.1, OpenID Connect Core)")
            .Produces(200, contentType: "text/html").Produces(302).Answers(ClientProblems.InvalidAuthorization);
        openId.MapPost("/par", Answer).WithSummary("Send the request of a sign-in ahead, and get a request_uri to send the person to /authorize with (RFC 9126)")
            .Produces<PushedRequest>(201).Answers(UserProblems.InvalidClient, ClientProblems.InvalidRequest, HttpProblems.TooManyRequests);
        openId.MapPost("/device/code", Answer).WithSummary("Begin to sign a person in on a device without keyboard or browser (RFC 8628); the device then asks POST /token")
            .Produces<DeviceAuthorization>().Answers(UserProblems.InvalidClient, ClientProblems.InvalidRequest, HttpProblems.TooManyRequests);
        openId.MapGet("/device", (HttpContext context, DevicePages pages) => pages.ShowAsync(context)).ExcludeFromDescription();
        openId.MapPost("/device", (HttpContext context, DevicePages pages) => pages.AnswerAsync(context)).ExcludeFromDescription();
        openId.MapMethods("/logout", GetAndPost, Answer).WithSummary("Sign a person out (OpenID Connect RP-Initiated Logout)")
            .Produces(200, contentType: "text/html").Produces(302).Answers(ClientProblems.InvalidSignOut);
        openId.MapMethods("/userinfo", GetAndPost, (HttpContext context, FrequentRequests frequent) => frequent.DescribeAsync(context)).WithSummary("Who the access token stands for, as its scopes allow")
            .Produces<UserInfo>().Answers(HttpProblems.Unauthorized, ClientProblems.InvalidToken, ClientProblems.InsufficientScope, ClientProblems.InvalidRequest);
        openId.MapPost("/introspect", (HttpContext context, FrequentRequests frequent) => frequent.InspectAsync(context)).WithSummary("Is a token good? For confidential clients (RFC 7662)")
            .Produces<Introspection>().Answers(UserProblems.InvalidClient, ClientProblems.InvalidRequest);
        openId.MapPost("/revoke", Answer).WithSummary("End the session of an access or refresh token (RFC 7009)")
            .Produces(200).Answers(UserProblems.InvalidClient, ClientProblems.InvalidRequest);
        routes.MapGet("/.well-known/oauth-authorization-server", Answer).AllowAnonymous().WithTags("Tokens").WithSummary("The same as openid-configuration (RFC 8414)");
    }

    static Task Answer(HttpContext context, TokenServer server) => server.AnswerAsync(context);
}

/// <summary>The answer of /par.</summary>
/// <param name="RequestUri">Goes to /authorize with the client_id, once.</param>
/// <param name="ExpiresIn">Seconds until it is worth nothing.</param>
public sealed record PushedRequest(string RequestUri, int ExpiresIn);

/// <summary>The answer of /device/code.</summary>
/// <param name="DeviceCode">Goes to POST /token, and to nobody else.</param>
/// <param name="UserCode">What the device shows: eight letters with a hyphen, good for one person.</param>
/// <param name="VerificationUri">Where the person enters it.</param>
/// <param name="VerificationUriComplete">The same with the code filled in, for a QR code.</param>
/// <param name="ExpiresIn">Seconds until both are worth nothing.</param>
/// <param name="Interval">Seconds between two questions.</param>
public sealed record DeviceAuthorization(string DeviceCode, string UserCode, string VerificationUri, string VerificationUriComplete, int ExpiresIn, int Interval);

/// <summary>The answer of /userinfo.</summary>
/// <param name="Sub">The account.</param>
/// <param name="Name">With the scope profile.</param>
/// <param name="Email">With the scope email.</param>
/// <param name="EmailVerified">With the scope email. True: it was shown that the mailbox is theirs.</param>
public sealed record UserInfo(string Sub, string? Name, string? Email, bool? EmailVerified);

/// <summary>The answer of /introspect; of a token that is not good it has nothing but <paramref name="Active"/>.</summary>
/// <param name="Active">The token is good, and its session has not ended.</param>
/// <param name="Sub">The account, or the client that acts for itself.</param>
/// <param name="Sid">The session.</param>
/// <param name="ClientId">Whose token it is.</param>
/// <param name="Scope">What it is for, separated by blanks.</param>
/// <param name="Exp">When it ends, in seconds since 1970.</param>
public sealed record Introspection(bool Active, string? Sub, string? Sid, string? ClientId, string? Scope, long? Exp);
