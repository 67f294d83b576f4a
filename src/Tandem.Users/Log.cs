using Microsoft.Extensions.Logging;

namespace Tandem.Users;

/// <summary>Every log line of the users module: 2000–2099.</summary>
static partial class Log
{
    [LoggerMessage(2001, LogLevel.Information, "Signing key {KeyId} made; it makes tokens from {SignsFrom:u} on")]
    public static partial void KeyMade(this ILogger logger, string keyId, DateTime signsFrom);

    [LoggerMessage(2002, LogLevel.Warning, "A refresh token of session {SessionId} (account {AccountId}) was used again after its successor: the session has ended")]
    public static partial void RefreshTokenReplayed(this ILogger logger, Guid sessionId, long accountId);

    [LoggerMessage(2003, LogLevel.Warning, "Ended sessions could not be read; tokens are checked against those known so far")]
    public static partial void RevocationsNotRead(this ILogger logger, Exception e);

    [LoggerMessage(2004, LogLevel.Information, "Ended sessions are read again")]
    public static partial void RevocationsReadAgain(this ILogger logger);

    [LoggerMessage(2005, LogLevel.Information, "Account {AccountId} made administrator from Admin:Email")]
    public static partial void AdministratorMade(this ILogger logger, long accountId);

    [LoggerMessage(2006, LogLevel.Warning, "Admin:Email names account {AccountId}, which exists and is no administrator; it was left so. To make it one: tandem user promote")]
    public static partial void AdministratorNotMade(this ILogger logger, long accountId);

    [LoggerMessage(2007, LogLevel.Information, "Account {AccountId} made administrator through the link of the first start")]
    public static partial void AdministratorSetUp(this ILogger logger, long accountId);

    [LoggerMessage(2009, LogLevel.Error, "The audit trail could not be sealed; rows that have committed wait")]
    public static partial void AuditNotSealed(this ILogger logger, Exception e);

    [LoggerMessage(2010, LogLevel.Information, "The audit trail is sealed again")]
    public static partial void AuditSealedAgain(this ILogger logger);

    [LoggerMessage(2011, LogLevel.Warning, "When sessions were last used could not be written; it is tried again")]
    public static partial void LastUseNotWritten(this ILogger logger, Exception e);

    [LoggerMessage(2012, LogLevel.Information, "When sessions were last used is written again")]
    public static partial void LastUseWrittenAgain(this ILogger logger);

    [LoggerMessage(2008, LogLevel.Information, "{Count} sessions that ended long ago were removed")]
    public static partial void SessionsRemoved(this ILogger logger, int count);

    [LoggerMessage(2013, LogLevel.Warning, "The mail server refused mail {MailId} for good ({Status}); it is not tried again")]
    public static partial void MailRefused(this ILogger logger, Guid mailId, int status);

    [LoggerMessage(2014, LogLevel.Information, "A mail for account {AccountId} (ticket {TicketId}) was not sent: its e-mail has had as many as Users:MailsPerEmail allows")]
    public static partial void MailWithheld(this ILogger logger, Guid ticketId, long accountId);

    [LoggerMessage(2015, LogLevel.Warning, "Expired tickets and requests could not be deleted; it is tried again")]
    public static partial void TicketsNotSwept(this ILogger logger, Exception e);

    [LoggerMessage(2016, LogLevel.Information, "Expired tickets and requests are deleted again")]
    public static partial void TicketsSweptAgain(this ILogger logger);

    [LoggerMessage(2017, LogLevel.Warning, "Expired exports could not be deleted; it is tried again")]
    public static partial void ExportsNotSwept(this ILogger logger, Exception e);

    [LoggerMessage(2018, LogLevel.Information, "Expired exports are deleted again")]
    public static partial void ExportsSweptAgain(this ILogger logger);

    [LoggerMessage(2050, LogLevel.Information, "A new passkey of account {AccountId} was not taken: {Reason}")]
    public static partial void PasskeyNotTaken(this ILogger logger, long accountId, string reason);

    [LoggerMessage(2051, LogLevel.Warning, "The counter of passkey {PasskeyId} (account {AccountId}) is not above the last one that was seen: the passkey may have been copied; the sign-in was refused")]
    public static partial void PasskeyBehind(this ILogger logger, Guid passkeyId, long accountId);

    [LoggerMessage(2021, LogLevel.Warning, "Client {ClientId} was not told that session {SessionId} has ended: {Reason}; it is not tried again")]
    public static partial void LogoutNotSent(this ILogger logger, string clientId, Guid sessionId, string reason);

    [LoggerMessage(2020, LogLevel.Warning, "An authorization code was used a second time: session {SessionId} (account {AccountId}, client {ClientId}) has ended")]
    public static partial void CodeReused(this ILogger logger, Guid sessionId, long accountId, string clientId);

    [LoggerMessage(2040, LogLevel.Warning, "Accounts could not be made ready for searches; it is tried again")]
    public static partial void SearchNotFilled(this ILogger logger, Exception e);

    [LoggerMessage(2041, LogLevel.Information, "Accounts are made ready for searches again")]
    public static partial void SearchFilledAgain(this ILogger logger);

    [LoggerMessage(2060, LogLevel.Information, "Signing key {KeyId} was revoked: what it has made is worth nothing")]
    public static partial void SigningKeyRevoked(this ILogger logger, string keyId);

    [LoggerMessage(2061, LogLevel.Information, "Signing key {KeyId} was removed: nothing that it has made is valid any more")]
    public static partial void SigningKeyRemoved(this ILogger logger, string keyId);

    [LoggerMessage(2062, LogLevel.Warning, "Signing keys could not be looked after; it is tried again")]
    public static partial void SigningKeysNotKept(this ILogger logger, Exception e);

    [LoggerMessage(2063, LogLevel.Information, "Signing keys are looked after again")]
    public static partial void SigningKeysKeptAgain(this ILogger logger);

    [LoggerMessage(2090, LogLevel.Warning, "A sign-in by the provider {Provider} came to nothing: {Reason} ({Detail}) {Error}")]
    public static partial void UpstreamFailed(this ILogger logger, string provider, string reason, string detail, string? error);

    [LoggerMessage(2064, LogLevel.Warning, "The second step of account {AccountId} cannot be opened with key {KeyId}, which goes; \"tandem user second-step-off\" lets its owner in")]
    public static partial void SecondStepNotOpened(this ILogger logger, long accountId, string keyId);
}
