using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Tandem.Deploy;

/// <summary>One service of the program on Kubernetes; the files under deploy/kubernetes are made by this too.</summary>
/// <param name="Name">A role of the program, or <see cref="Whole"/>; already checked by <see cref="IsName"/>.</param>
/// <param name="Version">The image's tag.</param>
/// <param name="Image">The image's repository.</param>
/// <param name="Namespace">Where, or null: wherever kubectl is told to.</param>
/// <param name="Roles">All roles of the program: the gateway is told where each one is.</param>
sealed partial record Manifest(string Name, string Version, string Image, string? Namespace, IReadOnlyList<string> Roles)
{
    /// <summary>The service that runs every role in one process.</summary>
    public const string Whole = "tandem";

    /// <summary>The container in each pod that is ours.</summary>
    public const string Container = "tandem";

    const string Gateway = "gateway";

    /// <summary>An RFC 1123 label, as Kubernetes wants the names of services and namespaces.</summary>
    public static bool IsName(string text) => NamePattern().IsMatch(text);

    /// <summary>A tag of an image that can stand in a label as well: letters, digits, dots, dashes and underscores, at most 63.</summary>
    public static bool IsVersion(string text) => VersionPattern().IsMatch(text);

    /// <summary>A repository such as <c>registry.example.com:5000/team/tandem</c>, without a tag.</summary>
    public static bool IsImage(string text) => text.Length <= 255 && ImagePattern().IsMatch(text);

    readonly string _name = Scalar(Name);

    /// <summary>Requests from outside arrive here rather than through the gateway.</summary>
    bool IsDoor => Name is Whole or Gateway;

    // Models are held in memory; the other roles rest at about a third of this.
    string Memory => Name is Whole or "inference" ? "1Gi" : "512Mi";

    /// <returns>The YAML documents of the service, in the order in which they should be made.</returns>
    public string ToYaml() => string.Join("---\n", new[] { Account(), Policy(), Service(), Deployment(), Budget(), Autoscaler() }.Select(d => d.ReplaceLineEndings("\n")));

    string Account() => $$"""
        apiVersion: v1
        kind: ServiceAccount
        {{Metadata()}}
        automountServiceAccountToken: false

        """;

    string Policy() => $$"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        {{Metadata()}}
        spec:
          podSelector:
            matchLabels:
              app.kubernetes.io/name: tandem
              app.kubernetes.io/component: {{_name}}
          policyTypes: [Ingress, Egress]
          ingress:
        {{(IsDoor ? Outside : FromGateway)}}
            # Prometheus, in a namespace of this name.
            - from:
                - namespaceSelector:
                    matchLabels:
                      kubernetes.io/metadata.name: monitoring
              ports:
                - port: 8080
          egress:
            - ports:
                - port: 53
                  protocol: UDP
                - port: 53
            # PostgreSQL, Redis, Kafka and an OpenTelemetry collector, wherever they run.
            - ports:
                - port: 5432
                - port: 6379
                - port: 9092
                - port: 4317{{(Name == Gateway ? "\n" + ToRoles : "")}}

        """;

    const string Outside = """
            - ports:
                - port: 8080
        """;

    const string FromGateway = """
            - from:
                - podSelector:
                    matchLabels:
                      app.kubernetes.io/name: tandem
                      app.kubernetes.io/component: gateway
              ports:
                - port: 8080
        """;

    // A service of your own behind the gateway (Gateway:Upstreams) needs a policy that lets the gateway out to it.
    const string ToRoles = """
            - to:
                - podSelector:
                    matchLabels:
                      app.kubernetes.io/name: tandem
              ports:
                - port: 8080
        """;

    string Service() => $$"""
        apiVersion: v1
        kind: Service
        {{Metadata()}}
        spec:
        {{(IsDoor ? "" : "  # The gateway balances by itself: it asks for the addresses of all pods that are ready.\n  clusterIP: None\n")}}  selector:
            app.kubernetes.io/name: tandem
            app.kubernetes.io/component: {{_name}}
          ports:
            - name: http
              port: 8080
              targetPort: http

        """;

    string Deployment() => $$"""
        apiVersion: apps/v1
        kind: Deployment
        {{Metadata()}}
        spec:
          # How many is the autoscaler's to say.
          selector:
            matchLabels:
              app.kubernetes.io/name: tandem
              app.kubernetes.io/component: {{_name}}
          strategy:
            type: RollingUpdate
            rollingUpdate:
              maxUnavailable: 0
              maxSurge: 1
          template:
            metadata:
              labels:
                app.kubernetes.io/name: tandem
                app.kubernetes.io/component: {{_name}}
                app.kubernetes.io/part-of: tandem
                app.kubernetes.io/version: "{{Version}}"
            spec:
              serviceAccountName: {{_name}}
              automountServiceAccountToken: false
              # A service called tandem would become TANDEM_PORT and the like, and those are no settings of the program.
              enableServiceLinks: false
              # preStop, then Http:ShutdownTimeout for the requests in flight, and some seconds to close the stores.
              terminationGracePeriodSeconds: 45
              securityContext:
                runAsNonRoot: true
                runAsUser: 1654
                runAsGroup: 1654
                fsGroup: 1654
                seccompProfile:
                  type: RuntimeDefault
              topologySpreadConstraints:
        {{Spread("topology.kubernetes.io/zone")}}
        {{Spread("kubernetes.io/hostname")}}
              containers:
                - name: {{Container}}
                  image: "{{Image}}:{{Version}}"
                  ports:
                    - name: http
                      containerPort: 8080
                  # Any other setting: TANDEM_SECTION__KEY in a ConfigMap or Secret called tandem.
                  envFrom:
                    - configMapRef:
                        name: tandem
                        optional: true
                    - secretRef:
                        name: tandem
                  env:
                    - name: TANDEM_URLS
                      value: http://*:8080
                    # Below the volume: the program closes its directory to others, and may do so only with one it made.
                    - name: TANDEM_DATA
                      value: /data/tandem
        {{Environment()}}            # By name: without it the pod must not start, or it would keep its data in a volume that goes with it.
                    - name: TANDEM_POSTGRES__CONNECTIONSTRING
                      valueFrom:
                        secretKeyRef:
                          name: tandem
                          key: TANDEM_POSTGRES__CONNECTIONSTRING
                  startupProbe:
                    httpGet:
                      path: /health
                      port: http
                    periodSeconds: 2
                    failureThreshold: 90
                  livenessProbe:
                    httpGet:
                      path: /health
                      port: http
                    periodSeconds: 10
                    timeoutSeconds: 3
                  readinessProbe:
                    httpGet:
                      path: /health/ready
                      port: http
                    periodSeconds: 3
                    timeoutSeconds: 3
                    failureThreshold: 2
                  lifecycle:
                    preStop:
                      # New requests come until everyone knows that the pod is leaving; the image has no shell to sleep with.
                      sleep:
                        seconds: 8
                  # No limit on the processor: it would slow requests down while the node idles.
                  resources:
                    requests:
                      cpu: 100m
                      memory: 256Mi
                    limits:
                      memory: {{Memory}}
                  securityContext:
                    allowPrivilegeEscalation: false
                    readOnlyRootFilesystem: true
                    capabilities:
                      drop: [ALL]
                  volumeMounts:
                    - name: data
                      mountPath: /data
                    - name: tmp
                      mountPath: /tmp
              volumes:
                - name: data
                  emptyDir: {}
                - name: tmp
                  emptyDir: {}

        """;

    string Budget() => $$"""
        apiVersion: policy/v1
        kind: PodDisruptionBudget
        {{Metadata()}}
        spec:
          maxUnavailable: 1
          unhealthyPodEvictionPolicy: AlwaysAllow
          selector:
            matchLabels:
              app.kubernetes.io/name: tandem
              app.kubernetes.io/component: {{_name}}

        """;

    string Autoscaler() => $$"""
        apiVersion: autoscaling/v2
        kind: HorizontalPodAutoscaler
        {{Metadata()}}
        spec:
          scaleTargetRef:
            apiVersion: apps/v1
            kind: Deployment
            name: {{_name}}
          minReplicas: 2
          maxReplicas: 10
          metrics:
            - type: Resource
              resource:
                name: cpu
                target:
                  type: AverageValue
                  averageValue: 500m

        """;

    string Metadata() => $$"""
        metadata:
          name: {{_name}}{{(Namespace is null ? "" : $"\n  namespace: {Scalar(Namespace)}")}}
          labels:
            app.kubernetes.io/name: tandem
            app.kubernetes.io/component: {{_name}}
            app.kubernetes.io/part-of: tandem
        """;

    string Spread(string key) => $$"""
                - maxSkew: 1
                  topologyKey: {{key}}
                  whenUnsatisfiable: ScheduleAnyway
                  labelSelector:
                    matchLabels:
                      app.kubernetes.io/name: tandem
                      app.kubernetes.io/component: {{_name}}
        """;

    string Environment()
    {
        var text = new StringBuilder();
        if (Name != Whole)
            Set(text, "TANDEM_ROLES", _name);
        if (Name == Gateway)
            foreach (var role in Roles.Where(r => r != Gateway))
                Set(text, $"TANDEM_GATEWAY__ROLES__{role.ToUpperInvariant()}__ADDRESSES__0", $"http://{role}:8080");
        return text.ToString();
    }

    static void Set(StringBuilder text, string name, string value) =>
        text.Append(CultureInfo.InvariantCulture, $"            - name: {name}\n              value: {value}\n");

    /// <summary>A checked name as a YAML string: <c>on</c> or <c>12</c> would be read as something else.</summary>
    static string Scalar(string name) =>
        char.IsAsciiDigit(name[0]) || name is "y" or "n" or "yes" or "no" or "on" or "off" or "true" or "false" or "null" ? $"\"{name}\"" : name;

    [GeneratedRegex(@"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\z")]
    private static partial Regex VersionPattern();

    [GeneratedRegex(@"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*\z", RegexOptions.ExplicitCapture)]
    private static partial Regex ImagePattern();
}
