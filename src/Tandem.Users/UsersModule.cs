using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Contracts;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Import;
using Tandem.Users.Listing;
using Tandem.Users.Look;
using Tandem.Users.Mailing;
using Tandem.Users.MyData;
using Tandem.Users.OpenId;
using Tandem.Users.Organisations;
using Tandem.Users.Passkeys;
using Tandem.Users.Scim;
using Tandem.Users.SecondSteps;
using Tandem.Users.SelfService;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using Tandem.Users.Upstream;

namespace Tandem.Users;

/// <summary>Accounts, sign-in and tokens.</summary>
public sealed class UsersModule : Module
{
    /// <inheritdoc/>
    public override string Name => "users";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        var options = module.Options<UsersOptions>();
        // RFC 8414, 2: clients compare it letter by letter and build addresses on it.
        if (!Uri.TryCreate(options.Issuer, UriKind.Absolute, out var issuer) || issuer.Scheme is not ("http" or "https") || issuer.Query.Length + issuer.Fragment.Length > 0)
            throw new ConfigurationException($"Users:Issuer must be an http or https address without query and fragment; it is \"{options.Issuer}\".");
        if (options.PasskeyDomain is { } domain && options.PasskeyHost is null)
            throw new ConfigurationException($"Users:PasskeyDomain must be a name such as example.com; it is \"{domain}\".");
        // Browsers write an origin in one way only, and it is compared letter by letter.
        if (options.PasskeyOrigins.FirstOrDefault(o => !IsOrigin(o)) is { } wrong)
            throw new ConfigurationException($"Users:PasskeyOrigins must be origins such as https://example.com, without a path, or android:apk-key-hash:…; one is \"{wrong}\".");
        module.Services.AddSingleton<AuditTrail>();
        module.Services.AddSingleton<FailedSignIns>();
        module.Services.AddHostedService<AuditSealer>();
        if (options.KeyLifetime > options.MaxKeyLifetime)
            throw new ConfigurationException($"Users:KeyLifetime ({options.KeyLifetime}) must not be above Users:MaxKeyLifetime ({options.MaxKeyLifetime}).");
        if (options.SigningKeyLifetime != TimeSpan.Zero && options.SigningKeyLifetime < TimeSpan.FromDays(1))
            throw new ConfigurationException($"Users:SigningKeyLifetime must be 0 or at least a day (1.00:00:00); it is {options.SigningKeyLifetime}.");
        foreach (var (name, provider) in options.Upstream)
            provider.Check(name);
        if (options.Upstream.Values.GroupBy(p => p.Issuer).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new ConfigurationException($"Users:Upstream names the issuer \"{twice.Key}\" twice; a login of it could not be told apart.");
        module.Services.AddSingleton<UserTable>();
        module.Services.AddSingleton<AccountList>();
        module.Services.AddSingleton<AccountSearch>();
        module.Services.AddSingleton<SearchFiller>();
        if (module.IsServed)
            module.Services.AddHostedService(p => p.GetRequiredService<SearchFiller>());
        module.Services.AddSingleton<Ownership>();
        module.Services.AddSingleton<Impersonations>();
        module.Services.AddSingleton<OrganisationTable>();
        module.Services.AddSingleton<IOrganisations>(p => p.GetRequiredService<OrganisationTable>());
        module.Services.AddSingleton<ImportTable>();
        module.Services.AddSingleton<Passwords>();
        new CommonPasswordCheck(options).CheckSettings();
        module.Services.AddSingleton<CommonPasswordCheck>();
        module.Services.AddSingleton<SignInLimits>();
        module.Services.AddSingleton<Keys>();
        module.Services.AddSingleton<KeyRing>();
        module.Services.AddSingleton<KeyRotation>();
        module.Services.AddSingleton<Sessions>();
        module.Services.AddSingleton<ApiKeys>();
        module.Services.AddSingleton<Revocations>();
        module.Services.AddSingleton<LastUse>();
        module.Services.AddHostedService(p => p.GetRequiredService<LastUse>());
        module.Services.AddSingleton<TokenVerifier>();
        module.Services.AddSingleton<ITokenVerifier>(p => p.GetRequiredService<TokenVerifier>());
        module.Services.AddSingleton<SignIns>();
        module.Services.AddSingleton<TokenGrants>();
        module.Services.AddSingleton<TokenServer>();
        module.Services.AddSingleton<AccessTokens>();
        module.Services.AddSingleton<RefreshTokens>();
        module.Services.AddHostedService<RevocationWatch>();
        if (module.IsServed)
            module.Services.AddHostedService<KeySchedule>();
        module.Services.AddSingleton<ClientTable>();
        module.Services.AddSingleton<IdTokenKeys>();
        module.Services.AddSingleton<ClientSessions>();
        module.Services.AddSingleton<ClientGrants>();
        module.Services.AddSingleton<Browsers>();
        module.Services.AddSingleton<SignInPages>();
        module.Services.AddSingleton<Authorization>();
        module.Services.AddSingleton<PushedRequests>();
        module.Services.AddSingleton<DeviceCodes>();
        module.Services.AddSingleton<DevicePages>();
        module.Services.AddSingleton<BackChannel>();
        module.Job<LogoutNotice, LogoutNotices>();
        module.Services.AddSingleton<SignOut>();
        module.Services.AddSingleton<OpenIdServer>();
        module.Services.AddSingleton<FrequentRequests>();

        module.Options<MailOptions>("Mail").Check();
        module.Options<PagesOptions>("Pages").Check();
        module.Services.AddSingleton<Languages>();
        module.Services.AddSingleton<Theme>();
        module.Services.AddSingleton<MailSender>();
        module.Services.AddSingleton<Letters>();
        module.Job<Mail, SendMail>();
        module.Services.AddSingleton<TicketTable>();
        module.Services.AddSingleton<MailAllowance>();
        module.Services.AddSingleton<SecondStep>();
        module.Services.AddSingleton<Ceremonies>();
        module.Services.AddSingleton<PasskeyTable>();
        module.Services.AddSingleton<Providers>();
        module.Services.AddSingleton<UpstreamLogins>();
        module.Services.AddSingleton<UpstreamPages>();
        module.Job<MailTicket, TicketMailer>();
        if (module.IsServed)
            module.Services.AddHostedService<TicketSweep>();

        module.Services.AddSingleton<ScimUsers>();
        module.Services.AddSingleton<ScimGroups>();

        module.Services.AddSingleton<Exports>();
        module.Services.AddSingleton<MyDataRequests>();
        module.Services.AddSingleton<IPersonalData, AccountData>();
        module.Job<ExportData, DataExporter>();
        module.Job<EraseAccount, Eraser>();
        if (module.IsServed)
            module.Services.AddHostedService<ExportSweep>();

        module.Services.AddSingleton<AccountPages>();
        // In the order that their links stand in.
        module.Services.AddSingleton<IAccountPage, OverviewPage>();
        module.Services.AddSingleton<IAccountPage, PasswordPage>();
        module.Services.AddSingleton<IAccountPage, SecondStepPage>();
        module.Services.AddSingleton<IAccountPage, PasskeysPage>();
        module.Services.AddSingleton<IAccountPage, LoginsPage>();
        module.Services.AddSingleton<IAccountPage, EmailPage>();
        module.Services.AddSingleton<IAccountPage, SessionsPage>();
        module.Services.AddSingleton<IAccountPage, ApplicationsPage>();
        module.Services.AddSingleton<IAccountPage, DataPage>();

        var admin = module.Options<AdminOptions>("Admin");
        ConfiguredAdministrator.Check(admin);
        module.Services.AddSingleton<SetupLink>();
        if (module.IsServed)
            module.Services.AddHostedService<ConfiguredAdministrator>();
        if (module.IsReachable)
            module.Services.AddSingleton<IStartNotice>(services => services.GetRequiredService<SetupLink>());

        module.Command(UserCommands.Users);
        module.Command(UserCommands.Token);
        module.Command(KeyCommands.Keys);
        module.Command(SigningKeyCommands.SigningKeys);
        module.Command(AuditCommands.Audit);
        module.Command(PasswordFilterCommand.Make);
        module.Command(ClientCommands.Clients);
        module.Command(TextsCommand.Make);
    }

    static bool IsOrigin(string text) => text.StartsWith("android:apk-key-hash:", StringComparison.Ordinal)
        || Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && text == uri.GetLeftPart(UriPartial.Authority);

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapUsers();
        routes.MapTokens();
        routes.MapSessions();
        routes.MapImpersonation();
        routes.MapOrganisations();
        routes.MapKeys();
        routes.MapClients();
        routes.MapRegistration();
        routes.MapOpenId();
        routes.MapSetup();
        routes.MapMailed();
        routes.MapMailedPages();
        routes.MapSecondSteps();
        routes.MapMyData();
        routes.MapPasskeys();
        routes.MapUpstream();
        AccountPages.Map(routes);
        routes.MapScim();
        routes.MapAudit();
        if (routes.ServiceProvider.GetRequiredService<MailOptions>() is { OutboxPage: true, Host: null })
            routes.MapOutbox();
    }
}
