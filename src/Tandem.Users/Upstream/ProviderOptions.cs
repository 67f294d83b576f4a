using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Text.RegularExpressions;
using Tandem.Core.Configuration;

namespace Tandem.Users.Upstream;

/// <summary>Another provider of OpenID Connect whose logins open accounts here: Google, Entra ID, Keycloak, another Tandem, ….</summary>
public sealed partial class ProviderOptions
{
    /// <summary>The provider's issuer, letter by letter as its /.well-known/openid-configuration says it: https, or http on this machine. Needed.</summary>
    [Required]
    public string Issuer { get; set; } = "";

    /// <summary>What the provider knows this server by. Needed.</summary>
    [Required]
    public string ClientId { get; set; } = "";

    /// <summary>What this server shows to the provider. Default none: it is registered there as a public client, and PKCE alone protects it.</summary>
    public string? ClientSecret { get; set; }

    /// <summary>What stands behind "Continue with" on the sign-in page. Default: the provider's name in the settings.</summary>
    [MaxLength(100)]
    public string? Title { get; set; }

    /// <summary>What the provider is asked for, with blanks between. Default openid email profile; openid has to be there.</summary>
    [Required]
    public string Scopes { get; set; } = "openid email profile";

    /// <summary>Makes an account for whoever comes by this provider and has none. Default: as <c>Users:SignUp</c>.</summary>
    public bool? AllowSignUp { get; set; }

    /// <summary>
    /// Takes the provider's e-mails for the person's own although it does not say email_verified. Default false. Set it only where nobody but the operator decides which e-mail a login there has.
    /// </summary>
    public bool TrustEmail { get; set; }

    /// <summary>
    /// Takes a login that the provider calls one of several steps (<c>mfa</c> in the ID token's <c>amr</c>, RFC 8176) for two steps here as well: the person's own second step is not asked for. Default false. Set it only where
    /// the provider means by it what you would.
    /// </summary>
    public bool TrustSecondStep { get; set; }

    /// <summary>Only logins whose confirmed e-mail is of one of these domains, such as example.com; names below them are others. Default: any.</summary>
    public string[] Domains { get; set; } = [];

    /// <exception cref="ConfigurationException">It cannot work.</exception>
    internal void Check(string key)
    {
        if (!Name().IsMatch(key))
            throw new ConfigurationException($"Users:Upstream:{key}: a provider's name has up to 32 letters, digits and hyphens; it is a part of addresses.");
        if (!Uri.TryCreate(Issuer, UriKind.Absolute, out var issuer) || !IsSafe(issuer) || issuer.Query.Length + issuer.Fragment.Length > 0)
            throw new ConfigurationException($"Users:Upstream:{key}:Issuer must be an https address without query and fragment (http on this machine alone); it is \"{Issuer}\".");
        if (!Scopes.Split(' ').Contains("openid"))
            throw new ConfigurationException($"Users:Upstream:{key}:Scopes must have openid in it; it is \"{Scopes}\".");
        if (Array.Find(Domains, d => d.Contains('@') || Uri.CheckHostName(d) != UriHostNameType.Dns) is { } wrong)
            throw new ConfigurationException($"Users:Upstream:{key}:Domains must be names such as example.com; one is \"{wrong}\".");
    }

    /// <summary>Nobody can listen in there, or stand in its place.</summary>
    internal static bool IsSafe(Uri uri) => uri.Scheme == "https" || uri.Scheme == "http" && (uri.IdnHost == "localhost" || IPAddress.TryParse(uri.IdnHost, out var address) && IPAddress.IsLoopback(address));

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9-]{0,31}\z")]
    private static partial Regex Name();
}
