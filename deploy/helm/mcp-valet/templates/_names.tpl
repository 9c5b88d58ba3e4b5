{{- define "mcp-valet.name" -}}
{{- printf "%s" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mcp-valet.selector" -}}
app.kubernetes.io/name: mcp-valet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mcp-valet.labels" -}}
{{ include "mcp-valet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* An ingress knows names only, without the port that publicUrl may have. */}}
{{- define "mcp-valet.hostname" -}}
{{- (urlParse .Values.publicUrl).hostname -}}
{{- end -}}

{{- define "mcp-valet.host" -}}
{{- (urlParse .Values.publicUrl).host -}}
{{- end -}}
