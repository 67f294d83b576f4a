using System.Text.Json;

namespace Tandem.Users.Import;

/// <summary>Where users come from: how each program's records are told, and what of them is carried over.</summary>
static class Sources
{
    // In the order in which a record is held against them: the members of those further down stand in others as well.
    static readonly (string Name, Func<SourceFields, bool> Is, Func<SourceFields, ImportSettings, ImportedUser> Read)[] All =
    [
        ("firebase", f => f.Has("localId"), Firebase),
        ("supabase", f => f.Has("encrypted_password"), Supabase),
        ("wordpress", f => f.Has("user_pass") || f.Has("user_login"), WordPress),
        ("django", f => f.Has("fields") || f.Has("is_superuser") && f.Has("date_joined"), Django),
        ("pocketbase", f => f.Has("tokenKey") || f.Has("collectionId"), PocketBase),
        ("aspnet", f => f.Has("NormalizedEmail") || f.Has("PasswordHash"), AspNet),
        ("auth0", f => f.Has("user_id") || f.Has("passwordHash") || f.Has("custom_password_hash"), Auth0),
        ("keycloak", f => f.Has("username") && (f.Has("enabled") || f.Has("credentials")), Keycloak),
    ];

    public static IReadOnlyList<string> Names { get; } = ["auto", "csv", "json", .. All.Select(s => s.Name).Order(StringComparer.Ordinal)];

    /// <summary>The columns of our own exports, in their order.</summary>
    public static IReadOnlyList<string> Columns { get; } =
        ["id", "email", "name", "is_active", "is_administrator", "created_at", "email_verified_at", "last_sign_in_at", "external_source", "external_id", "password_hash"];

    /// <returns>The program whose first record this is; null when it is nobody's.</returns>
    public static string? Recognise(JsonElement record, bool isRealm, bool isJson)
    {
        var fields = new SourceFields(record);
        if (isRealm)
            return "keycloak";
        foreach (var (name, fits, _) in All)
            if (fits(fields))
                return name;
        return fields.Has("email") ? isJson ? "json" : "csv" : null;
    }

    public static ImportedUser Read(string format, JsonElement record, ImportSettings settings)
    {
        var fields = new SourceFields(record);
        return format is "csv" or "json" ? Own(fields, settings) : All.Single(s => s.Name == format).Read(fields, settings);
    }

    static ImportedUser Own(SourceFields f, ImportSettings settings)
    {
        foreach (var member in f.Members.EnumerateObject())
            if (!Columns.Contains(member.Name) && member.Name != "email_verified" && !PersonTables.All.Any(t => t.Member == member.Name))
                throw new RefusedException(member.Name, $"is not known here; known are {string.Join(", ", Columns)} and email_verified");
        var email = f.Email("email");
        var created = f.Time("created_at");
        // An id of ours is only an account's here when it is kept; otherwise it is what the account was called elsewhere.
        var id = f.ExternalId("id");
        long? kept = null;
        if (settings.KeepIds && id is not null)
            kept = long.TryParse(id, out var number) && number is > 0 and <= ImportedUser.MaxId ? number : throw new RefusedException("id", $"is no number from 1 to {ImportedUser.MaxId}");
        var beside = PersonTables.Read(f.Members, settings.KeepIds);
        if (beside.Count > 0 && kept is null)
            throw new RefusedException("id", $"is missing: {beside[0].Table.Member} belongs to it");
        return new ImportedUser(email, f.Name(email, "name"), f.Hash("password_hash"))
        {
            Id = kept,
            Beside = beside,
            IsActive = f.Flag("is_active") ?? true,
            IsAdministrator = f.Flag("is_administrator") ?? false,
            CreatedAt = created,
            EmailVerifiedAt = f.Time("email_verified_at") ?? Verified(f.Flag("email_verified"), created, settings),
            LastSignInAt = f.Time("last_sign_in_at"),
            ExternalSource = f.ExternalId("external_id") is null ? settings.Source ?? "tandem" : f.ExternalId("external_source") ?? settings.Source ?? "import",
            ExternalId = f.ExternalId("external_id") ?? (settings.KeepIds ? null : id),
        };
    }

    /// <summary>The realm's export: users[] with their credentials.</summary>
    static ImportedUser Keycloak(SourceFields f, ImportSettings settings)
    {
        if (f.Text("serviceAccountClientId") is not null)
            throw new RefusedException("serviceAccountClientId", "makes it the account of a program, not of a person");
        var email = f.Email("email");
        var created = f.Milliseconds("createdTimestamp");
        return new ImportedUser(email, f.FullName("firstName", "lastName") ?? f.Name(email, "username"), SourceHashes.Keycloak(f.Json("credentials")))
        {
            IsActive = f.Flag("enabled") ?? true,
            IsAdministrator = f.HasAdministratorRole("realmRoles"),
            CreatedAt = created,
            EmailVerifiedAt = Verified(f.Flag("emailVerified"), created, settings),
            ExternalId = f.ExternalId("id"),
        };
    }

    /// <summary>GoTrue's table auth.users.</summary>
    static ImportedUser Supabase(SourceFields f, ImportSettings settings)
    {
        if (f.Time("deleted_at") is not null)
            throw new RefusedException("deleted_at", "says that the account is deleted");
        var email = f.Email("email");
        var (own, app) = (f.Inner("raw_user_meta_data"), f.Inner("raw_app_meta_data"));
        return new ImportedUser(email, own.Name(email, "name", "full_name", "display_name", "user_name"), f.Hash("encrypted_password"))
        {
            IsActive = f.Time("banned_until") is not { } until || until <= settings.Now,
            IsAdministrator = f.Flag("is_super_admin") == true || app.HasAdministratorRole("role") || app.HasAdministratorRole("roles"),
            CreatedAt = f.Time("created_at"),
            EmailVerifiedAt = f.Time("email_confirmed_at"),
            LastSignInAt = f.Time("last_sign_in_at"),
            ExternalId = f.ExternalId("id"),
        };
    }

    /// <summary>The records of an auth collection, as its table has them: the API never gives out a hash.</summary>
    static ImportedUser PocketBase(SourceFields f, ImportSettings settings)
    {
        var email = f.Email("email");
        var created = f.Time("created");
        return new ImportedUser(email, f.Name(email, "name", "username"), f.Hash("password") ?? f.Hash("passwordHash"))
        {
            IsAdministrator = f.HasAdministratorRole("role") || f.HasAdministratorRole("roles"),
            CreatedAt = created,
            EmailVerifiedAt = Verified(f.Flag("verified"), created, settings),
            ExternalId = f.ExternalId("id"),
        };
    }

    /// <summary>The job's export, the file of hashes that Auth0's support sends, and the form of its imports: they are one.</summary>
    static ImportedUser Auth0(SourceFields f, ImportSettings settings)
    {
        var email = f.Email("email");
        var created = f.Time("created_at");
        return new ImportedUser(email, f.FullName("given_name", "family_name") is { } full && !f.Has("name") ? full : f.Name(email, "name", "nickname", "username"),
            f.Hash("passwordHash") ?? f.Hash("password_hash") ?? SourceHashes.Auth0(f.Inner("custom_password_hash")))
        {
            IsActive = f.Flag("blocked") != true,
            IsAdministrator = f.Inner("app_metadata").HasAdministratorRole("roles") || f.Inner("app_metadata").HasAdministratorRole("role"),
            CreatedAt = created,
            EmailVerifiedAt = Verified(f.Flag("email_verified"), created, settings),
            LastSignInAt = f.Time("last_login"),
            // The file of hashes has it in MongoDB's way.
            ExternalId = f.ExternalId("user_id") ?? (f.Inner("_id").ExternalId("$oid") is { } oid ? $"auth0|{oid}" : null),
        };
    }

    /// <summary>firebase auth:export, as JSON.</summary>
    static ImportedUser Firebase(SourceFields f, ImportSettings settings)
    {
        var email = f.Email("email");
        var created = f.Milliseconds("createdAt");
        var attributes = f.Inner("customAttributes");
        return new ImportedUser(email, f.Name(email, "displayName"), SourceHashes.Firebase(f, settings.Firebase))
        {
            IsActive = f.Flag("disabled") != true,
            IsAdministrator = attributes.Flag("admin") == true || attributes.HasAdministratorRole("role") || attributes.HasAdministratorRole("roles"),
            CreatedAt = created,
            EmailVerifiedAt = Verified(f.Flag("emailVerified"), created, settings),
            LastSignInAt = f.Milliseconds("lastSignedInAt"),
            ExternalId = f.ExternalId("localId"),
        };
    }

    /// <summary>manage.py dumpdata, or the columns of the user's table.</summary>
    static ImportedUser Django(SourceFields f, ImportSettings settings)
    {
        if (f.Text("model") is { } model && !model.EndsWith(".user", StringComparison.OrdinalIgnoreCase))
            throw new RefusedException("model", "is another one than a user");
        var (id, user) = f.Has("fields") ? (f.ExternalId("pk"), f.Inner("fields")) : (f.ExternalId("id"), f);
        var email = user.Email("email");
        return new ImportedUser(email, user.FullName("first_name", "last_name") ?? user.Name(email, "name", "username"), user.Hash("password"))
        {
            IsActive = user.Flag("is_active") ?? true,
            IsAdministrator = user.Flag("is_superuser") ?? false,
            CreatedAt = user.Time("date_joined"),
            LastSignInAt = user.Time("last_login"),
            ExternalId = id,
        };
    }

    /// <summary>The table wp_users, or "wp user list" with its roles.</summary>
    static ImportedUser WordPress(SourceFields f, ImportSettings settings)
    {
        var email = f.Email("user_email");
        return new ImportedUser(email, f.Name(email, "display_name", "user_nicename", "user_login"), f.Hash("user_pass"))
        {
            IsAdministrator = f.HasAdministratorRole("roles"),
            // GMT, by WordPress's own word.
            CreatedAt = f.Time("user_registered"),
            ExternalId = f.ExternalId("ID"),
        };
    }

    /// <summary>The table AspNetUsers.</summary>
    static ImportedUser AspNet(SourceFields f, ImportSettings settings)
    {
        var email = f.Email("Email");
        var created = f.Time("CreatedAt");
        return new ImportedUser(email, f.FullName("FirstName", "LastName") ?? f.Name(email, "Name", "FullName", "DisplayName", "UserName"), f.Hash("PasswordHash"))
        {
            // Five failures lock for minutes; who is locked out for years was locked out by somebody.
            IsActive = f.Time("LockoutEnd") is not { } end || end < settings.Now.AddDays(30) || f.Flag("LockoutEnabled") == false,
            IsAdministrator = f.HasAdministratorRole("Role") || f.HasAdministratorRole("Roles"),
            CreatedAt = created,
            EmailVerifiedAt = Verified(f.Flag("EmailConfirmed"), created, settings),
            ExternalId = f.ExternalId("Id"),
        };
    }

    /// <summary>Where a program says only that, not when: at the time the account was made.</summary>
    static DateTime? Verified(bool? isVerified, DateTime? created, ImportSettings settings) => isVerified == true ? created ?? settings.Now : null;
}

/// <summary>One user of a file, checked.</summary>
/// <param name="Email">In lower case.</param>
/// <param name="PasswordHash">As it is stored; null: without a password.</param>
sealed record ImportedUser(string Email, string Name, string? PasswordHash)
{
    /// <summary>The greatest whole number that every JSON reader has exactly.</summary>
    public const long MaxId = (1L << 53) - 1;

    /// <summary>The id to keep; null: a new one.</summary>
    public long? Id { get; init; }
    public bool IsActive { get; init; } = true;
    public bool IsAdministrator { get; init; }
    /// <summary>Null: now.</summary>
    public DateTime? CreatedAt { get; init; }
    public DateTime? EmailVerifiedAt { get; init; }
    public DateTime? LastSignInAt { get; init; }
    /// <summary>Null: the source's name as the command has it.</summary>
    public string? ExternalSource { get; init; }
    public string? ExternalId { get; init; }
    /// <summary>What else is the person's; only with an id that is kept. Stored with a new account, never added to one that is there.</summary>
    public List<PersonRow> Beside { get; init; } = [];
}

/// <summary>How an import is to go.</summary>
sealed record ImportSettings(DateTime Now)
{
    public bool IsTrial { get; init; }
    public bool Update { get; init; }
    public bool UpdatePasswords { get; init; }
    public bool AllowAdministrators { get; init; }
    public bool KeepIds { get; init; }
    /// <summary>What external_source says; null: the format's name.</summary>
    public string? Source { get; init; }
    public FirebaseKey? Firebase { get; init; }
}
