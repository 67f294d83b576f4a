using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Audit;

/// <summary>A row of the audit trail.</summary>
/// <remarks>Row and answer are one record here: whoever exports the trail checks the hash over exactly these members.</remarks>
/// <param name="Number">Its place in the chain: 1, 2, 3, … without gaps.</param>
/// <param name="OccurredAt">UTC, to the microsecond. A row that committed late stands behind later ones.</param>
/// <param name="Event">What happened, such as <c>signed-in</c>.</param>
/// <param name="Actor">Who did it: <c>user</c>, <c>impersonator</c> (an administrator as somebody else), <c>anonymous</c> (nobody was signed in), <c>client</c> (of OAuth), <c>operator</c> (the command line, the configuration) or <c>schedule</c>.</param>
/// <param name="ActorId">The account, of a user; of an impersonator the administrator's.</param>
/// <param name="CredentialId">The session or API key that it was done with.</param>
/// <param name="SubjectId">The account that it is about.</param>
/// <param name="ObjectId">The session, API key, passkey or group that it is about.</param>
/// <param name="Network">Where it came from, the last part left out: <c>192.0.2.0/24</c>, <c>2001:db8:1:2::/64</c>.</param>
/// <param name="UserAgent">The family of the client, such as <c>Firefox on Linux</c>.</param>
/// <param name="Reason">Why, where there is more to say.</param>
/// <param name="TraceId">Finds the request in the log and in traces.</param>
/// <param name="Times">How often, for what is counted: failed sign-ins within a minute, sessions that ended together. Otherwise 1.</param>
/// <param name="Hash">SHA-256 over the row before's hash and this row, in hexadecimal; docs/guide/audit.md says over which bytes.</param>
public sealed record AuditEntry(
    long Number, DateTime OccurredAt, string Event, string Actor, long? ActorId, Guid? CredentialId, long? SubjectId, Guid? ObjectId, string? Network,
    string? UserAgent, string? Reason, string? TraceId, int Times, string Hash)
{
    /// <summary>What stands in front of the first row.</summary>
    internal static readonly string Genesis = new('0', 64);

    internal string HashBehind(string previous)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Convert.FromHexString(previous));
        // Each value with its length in front: no two rows have the same bytes.
        Span<byte> length = stackalloc byte[4];
        foreach (var value in Values())
        {
            var bytes = value is null ? [] : Encoding.UTF8.GetBytes(value);
            BinaryPrimitives.WriteInt32BigEndian(length, value is null ? -1 : bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    IEnumerable<string?> Values() =>
    [
        Text(Number), OccurredAt.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture), Event, Actor, Text(ActorId), CredentialId?.ToString(),
        Text(SubjectId), ObjectId?.ToString(), Network, UserAgent, Reason, TraceId, Text(Times),
    ];

    static string? Text(long? number) => number?.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What the audit trail has rows of.</summary>
static class AuditEvents
{
    public const string UserCreated = "user-created";
    public const string UserActivated = "user-activated";
    public const string UserDeactivated = "user-deactivated";
    public const string UserDeleted = "user-deleted";
    public const string DataExported = "data-exported";
    public const string AdministratorMade = "administrator-made";
    public const string AdministratorUnmade = "administrator-unmade";
    public const string SetupLinkUsed = "setup-link-used";
    public const string PasswordChanged = "password-changed";
    public const string MailAsked = "mail-asked";
    public const string EmailVerified = "email-verified";
    public const string EmailChanged = "email-changed";
    public const string SignInConfirmed = "sign-in-confirmed";
    public const string SecondStepOn = "second-step-on";
    public const string SecondStepOff = "second-step-off";
    public const string RecoveryCodesMade = "recovery-codes-made";
    public const string RecoveryCodeUsed = "recovery-code-used";
    public const string PasskeyAdded = "passkey-added";
    public const string PasskeyRenamed = "passkey-renamed";
    public const string PasskeyRemoved = "passkey-removed";
    public const string PasskeyBehind = "passkey-behind";
    public const string UpstreamAdded = "upstream-login-added";
    public const string UpstreamRemoved = "upstream-login-removed";
    public const string SignedIn = "signed-in";
    public const string Impersonated = "impersonated";
    public const string SignInFailed = "sign-in-failed";
    public const string SignedOut = "signed-out";
    public const string SessionEnded = "session-ended";
    public const string RefreshTokenReplayed = "refresh-token-replayed";
    public const string KeyCreated = "key-created";
    public const string KeyFirstUsed = "key-first-used";
    public const string KeyRevoked = "key-revoked";
    public const string ClientRegistered = "client-registered";
    public const string ClientChanged = "client-changed";
    public const string ClientRemoved = "client-removed";
    public const string ClientAllowed = "client-allowed";
    public const string ClientTakenBack = "client-taken-back";
    public const string DeviceAllowed = "device-allowed";
    public const string DeviceDenied = "device-denied";
    public const string ClientSignedIn = "client-signed-in";
    public const string TokenExchanged = "token-exchanged";
    public const string CodeReused = "code-reused";
    public const string OrganisationCreated = "organisation-created";
    public const string OrganisationChanged = "organisation-changed";
    public const string OrganisationDeleted = "organisation-deleted";
    public const string MemberInvited = "member-invited";
    public const string MemberAdded = "member-added";
    public const string MemberRoleChanged = "member-role-changed";
    public const string MemberRemoved = "member-removed";
    public const string GroupCreated = "group-created";
    public const string GroupRenamed = "group-renamed";
    public const string GroupDeleted = "group-deleted";
    public const string GroupJoined = "group-joined";
    public const string GroupLeft = "group-left";
    public const string SigningKeysMade = "signing-keys-made";
    public const string SigningKeysRevoked = "signing-keys-revoked";
}
